//! The end, in the order that loses no request.
//!
//! Readiness is denied and every answer from then on closes its connection; each listener accepts
//! what is in its queue and closes, or leaves that to the next process if it was handed over;
//! clients and proxies get half a second to notice; then idle connections are closed, those that
//! have just been made get a moment to ask, and busy ones finish, up to a hard deadline. A second signal ends the
//! process at once, unless it is the first one sent twice.

use std::fs;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

use super::systemd;
use crate::http::Draining;
use crate::rate_limit;
use crate::telemetry;

/// How long clients and proxies get to notice that their connections will close.
const NOTICE: Duration = Duration::from_millis(500);

/// What is left of the deadline for taking the rest of the process down.
const RESERVE: Duration = Duration::from_millis(200);

/// The exit code after a second signal, as shells count for SIGINT.
const CUT_SHORT: i32 = 130;

/// How long after the first signal another one of its kind is the same: whoever signals a group of
/// processes reaches a process twice if its parent passes signals on.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// Listens for SIGTERM, SIGINT and SIGHUP from now on. The future completes at the first; a second
/// ends the process at once.
pub(super) fn first_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut hangup = (!hangup_is_ignored())
        .then(|| signal(SignalKind::hangup()))
        .transpose()?;
    let mut next = async move || {
        tokio::select! {
            _ = term.recv() => "SIGTERM",
            _ = int.recv() => "SIGINT",
            Some(()) = async { hangup.as_mut()?.recv().await } => "SIGHUP",
        }
    };
    Ok(async move {
        // Awaited by itself: what is among a log line's arguments is skipped with the line.
        let first = next().await;
        let begun = Instant::now();
        tracing::info!("{first}: shutting down");
        systemd::stopping();
        tokio::spawn(async move {
            let mut name = next().await;
            while is_same(first, name) && begun.elapsed() < SAME_SIGNAL {
                name = next().await;
            }
            rate_limit::tell_now();
            tracing::warn!("{name} again: exiting at once");
            telemetry::flush();
            std::process::exit(CUT_SHORT);
        });
    })
}

/// Whether two signals ask for the same. A session that closes sends SIGHUP along with SIGTERM;
/// SIGINT comes from a person.
fn is_same(first: &str, second: &str) -> bool {
    (first == "SIGINT") == (second == "SIGINT")
}

/// Whether whoever started this wants it to outlive its terminal, as `nohup` does. The standard
/// library tells of no signal's disposition; Linux does.
fn hangup_is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = 1 << (SignalKind::hangup().as_raw_value() - 1);
    ignored.unwrap_or(0) & bit != 0
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Serving,
    /// Listeners drain their accept queues and close.
    Draining,
    /// Idle connections close, busy ones finish.
    Closing,
    /// What is still there is cut.
    Over,
}

/// The end of the service, as everything that must take part in it sees it.
#[derive(Clone)]
pub struct Shutdown {
    stage: watch::Receiver<Stage>,
    began: Arc<OnceLock<Instant>>,
    timeout: Duration,
}

impl Shutdown {
    /// An end that begins when `trigger` completes, sets `draining`, and is over `timeout` later.
    pub fn when<F>(trigger: F, draining: Draining, timeout: Duration) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (report, stage) = watch::channel(Stage::Serving);
        let began = Arc::new(OnceLock::new());
        let shutdown = Self {
            stage,
            began: Arc::clone(&began),
            timeout,
        };
        tokio::spawn(async move {
            trigger.await;
            let start = *began.get_or_init(Instant::now);
            let deadline = start + timeout.saturating_sub(RESERVE);
            draining.begin();
            report.send_replace(Stage::Draining);
            tokio::time::sleep_until(deadline.min(start + NOTICE)).await;
            report.send_replace(Stage::Closing);
            tokio::time::sleep_until(deadline).await;
            report.send_replace(Stage::Over);
            // Whoever asks later must still see it.
            report.closed().await;
        });
        shutdown
    }

    /// Waits until the end has come this far.
    pub(super) async fn reached(&mut self, stage: Stage) {
        // The sender lives as long as any receiver.
        let _ = self.stage.wait_for(|now| *now >= stage).await;
    }

    /// A shutdown that begins when `first` is done and has the same deadline: for the admin
    /// listener, which answers for readiness and metrics until the public side is empty.
    pub(super) fn after<F>(&self, first: F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (report, stage) = watch::channel(Stage::Serving);
        let after = Self {
            stage,
            ..self.clone()
        };
        let mut whole = self.clone();
        tokio::spawn(async move {
            first.await;
            report.send_replace(Stage::Draining);
            report.send_replace(Stage::Closing);
            whole.reached(Stage::Over).await;
            report.send_replace(Stage::Over);
            report.closed().await;
        });
        after
    }

    /// When the process is to be gone.
    pub(super) fn deadline(&self) -> Instant {
        *self.began.get_or_init(Instant::now) + self.timeout
    }

    /// The last line: how long it took, and how many requests went unanswered.
    pub(super) fn log_end(&self, cut: usize) {
        let took = self.began.get().map(Instant::elapsed).unwrap_or_default();
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        if cut == 0 {
            tracing::info!(millis, "neptun-auth is down");
        } else {
            tracing::warn!(
                millis,
                cut,
                "neptun-auth is down; open connections were cut"
            );
        }
    }
}
