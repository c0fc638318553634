//! Keeping a connection to one server up, and saying at once when there is none.
//!
//! A keeper task dials, waits until the connection is useless, and dials again, with growing
//! jittered pauses between failures. It is the only one to dial, so there is one attempt at a time
//! however many callers there are, and the attempts are the probes that find the server's return.
//!
//! Callers never wait out an outage. While no connection is up they fail at once, with the word
//! for what the last attempt ran into. Only the first attempt after a connection was lost (or at
//! start) is given a moment, so that a server that merely restarted costs nobody an error.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout_at};

use super::conn::Conn;
use super::dial::Dialer;
use super::error::unavailable;
use crate::session::StoreError;

/// The pause after a first failed attempt; each further failure doubles it up to
/// [`LONGEST_PAUSE`]. With an attempt's own limit it keeps within two seconds of a return.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// A connection that lasted less counts as a failed attempt: the next one is not made at once.
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// How long a link waits for things.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// A caller, for the first attempt at a new connection.
    pub(super) redial: Duration,
    /// The keeper, for a `PING` after a call timed out.
    pub(super) probe: Duration,
}

/// The way to one server.
pub(super) struct Link {
    state: watch::Receiver<State>,
    patience: Patience,
    keeper: AbortHandle,
}

#[derive(Clone)]
enum State {
    /// The first attempt since start, or since the last connection was lost.
    Dialing,
    Up(Arc<Conn>),
    /// Attempts fail; the word says how the last one did.
    Down(&'static str),
}

/// Whether the keeper says in the log what the server does not promise; one link per server does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubts {
    Warned,
    Silent,
}

impl Link {
    /// Starts to keep a connection up; returns at once.
    pub(super) fn open(dialer: Arc<Dialer>, patience: Patience, doubts: Doubts) -> Self {
        let (report, state) = watch::channel(State::Dialing);
        let keeper = tokio::spawn(keep_up(dialer, patience, doubts, report)).abort_handle();
        Self {
            state,
            patience,
            keeper,
        }
    }

    /// The connection, if there is one or is about to be.
    pub(super) async fn conn(&self, deadline: Instant) -> Result<Arc<Conn>, StoreError> {
        if let Some(settled) = settled(&self.state.borrow()) {
            return settled;
        }
        let mut state = self.state.clone();
        let until = deadline.min(Instant::now() + self.patience.redial);
        let waited = timeout_at(until, state.wait_for(|state| settled(state).is_some())).await;
        match waited {
            Ok(Ok(state)) => settled(&state).unwrap_or(Err(unavailable("connecting"))),
            Ok(Err(_)) | Err(_) => Err(unavailable("connecting")),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// What a caller gets in this state; `None` if it is worth waiting a moment.
fn settled(state: &State) -> Option<Result<Arc<Conn>, StoreError>> {
    match state {
        State::Up(conn) if conn.is_open() => Some(Ok(Arc::clone(conn))),
        // The keeper is about to learn that this one is closed.
        State::Up(_) | State::Dialing => None,
        State::Down(class) => Some(Err(unavailable(class))),
    }
}

async fn keep_up(
    dialer: Arc<Dialer>,
    patience: Patience,
    doubts: Doubts,
    report: watch::Sender<State>,
) {
    let server = dialer.describe();
    let mut failures: u32 = 0;
    let mut last_failure = "";
    loop {
        match dialer.dial().await {
            Ok(conn) => {
                tracing::info!(%server, "connected to the session store");
                if let (Doubts::Warned, Some(doubt)) = (doubts, &conn.doubt) {
                    tracing::warn!(%server, "the session store promises too little: {doubt}");
                }
                let since = Instant::now();
                let conn = Arc::new(conn);
                report.send_replace(State::Up(Arc::clone(&conn)));
                conn.until_useless(patience.probe).await;
                tracing::warn!(%server, "lost the connection to the session store");
                report.send_replace(State::Dialing);
                conn.close();
                last_failure = "";
                if since.elapsed() < SHORT_LIFE {
                    failures += 1;
                    sleep(pause(failures)).await;
                } else {
                    failures = 0;
                }
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                if last_failure != error.class() {
                    last_failure = error.class();
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(
                        %server,
                        class = last_failure,
                        cause = cause.unwrap_or_default(),
                        "cannot connect to the session store"
                    );
                }
                report.send_replace(State::Down(error.class()));
                sleep(pause(failures)).await;
            }
        }
    }
}

/// The pause after so many failures in a row: half of it fixed, half of it chance, so that many
/// replicas do not come back in step.
fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(8);
    let longest = (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE);
    let chance = f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX);
    longest.mul_f64(0.5 + chance / 2.0)
}
