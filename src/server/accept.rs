//! The accept loop of a listener: takes connections in up to its cap, and closes down in order.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::connection::{converse, see_off};
use super::shutdown::Stage;
use super::{BACKLOG, Limits, Shutdown};
use crate::http::{HttpService, Refusal};
use crate::metrics::{Listener, Metrics, OpenConnection};
use crate::rate_limit::RateLimit;

/// How long to leave a listener alone that has run out of descriptors or memory.
const BREATHER: Duration = Duration::from_millis(100);

/// How long connections get to leave once the service is over.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How many clients over the cap are seen off gently at a time. Each holds a descriptor that
/// `descriptors` has set aside.
pub(super) const LOBBY: usize = 4;

/// Counts a listener's connections.
#[derive(Clone)]
pub struct ConnectionCounts {
    metrics: Arc<Metrics>,
    listener: Listener,
}

impl ConnectionCounts {
    /// Under the label of this listener.
    #[must_use]
    pub const fn new(metrics: Arc<Metrics>, listener: Listener) -> Self {
        Self { metrics, listener }
    }

    fn opened(&self) -> OpenConnection {
        self.metrics.connection_opened(self.listener)
    }

    fn refused(&self) {
        self.metrics.connection_refused(self.listener);
    }
}

/// Serves `listener` until `shutdown`; answers how many requests went unanswered at the end.
pub async fn serve<S>(
    listener: TcpListener,
    service: S,
    limits: Limits,
    counts: ConnectionCounts,
    mut shutdown: Shutdown,
) -> usize
where
    S: HttpService<Incoming>,
{
    let mut house = House {
        service: Arc::new(service),
        limits,
        counts,
        shutdown: shutdown.clone(),
        room: Arc::new(Semaphore::new(
            limits.max_connections.min(Semaphore::MAX_PERMITS),
        )),
        lobby: Arc::new(Semaphore::new(LOBBY)),
        cut: Arc::default(),
        full: RateLimit::default(),
    };
    let out_of_descriptors = RateLimit::default();
    loop {
        let accepted = tokio::select! {
            () = shutdown.reached(Stage::Draining) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => house.take_in(stream, peer),
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                out_of_descriptors.note(|| {
                    move |times| tracing::error!(times, "cannot accept connections: {error}")
                });
                tokio::time::sleep(BREATHER).await;
            }
        }
    }
    if let Err(error) = house.take_in_whoever_knocks(listener) {
        tracing::warn!("the accept queue was not drained: {error}");
    }

    let everyone = u32::try_from(limits.max_connections).unwrap_or(u32::MAX);
    let mut all_left = pin!(house.room.acquire_many(everyone));
    tokio::select! {
        _ = all_left.as_mut() => {}
        () = shutdown.reached(Stage::Over) => {
            // The connections see it too, leave at once, and say whether a request was cut.
            let _ = timeout(LAST_WORDS, all_left).await;
        }
    }
    house.cut.load(Ordering::SeqCst)
}

/// Where a listener's connections live.
struct House<S> {
    service: Arc<S>,
    limits: Limits,
    counts: ConnectionCounts,
    shutdown: Shutdown,
    room: Arc<Semaphore>,
    lobby: Arc<Semaphore>,
    cut: Arc<AtomicUsize>,
    full: RateLimit,
}

impl<S: HttpService<Incoming>> House<S> {
    fn take_in(&mut self, stream: TcpStream, peer: SocketAddr) {
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            return self.turn_away(stream);
        };
        let service = Arc::clone(&self.service);
        let peer = peer.ip().to_canonical();
        let (limits, shutdown) = (self.limits, self.shutdown.clone());
        let cut = Arc::clone(&self.cut);
        let counted = self.counts.opened();
        // Made inside: a future that is moved into another takes its room twice.
        tokio::spawn(async move {
            if converse(stream, peer, service, limits, shutdown).await {
                cut.fetch_add(1, Ordering::SeqCst);
            }
            drop((place, counted));
        });
    }

    /// Says no at once instead of leaving the client in a queue.
    fn turn_away(&mut self, stream: TcpStream) {
        self.counts.refused();
        let most = self.limits.max_connections;
        self.full.note(|| {
            move |times| {
                tracing::warn!(
                    times,
                    "all {most} connections are taken; others are turned away"
                );
            }
        });
        // Past tokio, which does not know yet that a fresh connection takes a few bytes. If it
        // does not, closing says no as well.
        let answer = Refusal::of(StatusCode::SERVICE_UNAVAILABLE).into_bytes();
        let _ = socket2::SockRef::from(&stream).send(&answer);
        if let Ok(seat) = Arc::clone(&self.lobby).try_acquire_owned() {
            tokio::spawn(async move {
                see_off(stream).await;
                drop(seat);
            });
        }
    }

    /// Whoever has connected already is still served. Asks the system and not tokio, which hears
    /// of a connection only at its next look.
    fn take_in_whoever_knocks(&mut self, listener: TcpListener) -> io::Result<()> {
        let listener = listener.into_std()?;
        for accepted in waiting(|| listener.accept()) {
            let (stream, peer) = accepted?;
            stream.set_nonblocking(true)?;
            self.take_in(TcpStream::from_std(stream)?, peer);
        }
        Ok(())
    }
}

/// Those who wait to be accepted, and no more than can have waited when it begins: clients that
/// keep coming are not to keep a listener from closing.
fn waiting<T>(mut accept: impl FnMut() -> io::Result<T>) -> impl Iterator<Item = io::Result<T>> {
    // The system lets one more wait than it was asked to.
    let at_most = (0..=BACKLOG).map(move |_| accept());
    at_most
        .take_while(
            |accepted| !matches!(accepted, Err(error) if error.kind() == ErrorKind::WouldBlock),
        )
        .filter(|accepted| !matches!(accepted, Err(error) if is_the_clients(error)))
}

/// Errors of one connection that never came to be, rather than of the listener.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_keep_coming_are_not_waited_for() {
        let everyone = waiting(|| Ok(()));
        assert_eq!(everyone.count(), BACKLOG as usize + 1);
        let aborted = waiting::<()>(|| Err(ErrorKind::ConnectionAborted.into()));
        assert_eq!(aborted.count(), 0);
    }

    #[test]
    fn who_comes_after_the_last_who_waited_is_too_late() {
        let mut answers = [Ok(1), Err(ErrorKind::ConnectionReset.into()), Ok(2)]
            .into_iter()
            .chain([Err(ErrorKind::WouldBlock.into()), Ok(3)]);
        let taken_in: Vec<_> = waiting(|| answers.next().unwrap_or(Ok(4)))
            .map_while(Result::ok)
            .collect();
        assert_eq!(taken_in, [1, 2]);
    }
}
