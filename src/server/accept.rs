//! The accept loop of a listener: serves connections up to their limit, and closes down in order.

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

use super::Shutdown;
use super::connection::{close_lingering, serve_connection};
use super::listen::{BACKLOG, Listening};
use super::shutdown::Stage;
use crate::config::Limits;
use crate::http::{HttpService, Refusal};
use crate::metrics::{Listener, Metrics, OpenConnection};
use crate::rate_limit::RateLimit;

/// How long to wait before the next `accept` after one that found no descriptor or no memory.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// How long connections get to close once the deadline of the shutdown has passed.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(100);

/// How many connections over the limit may linger at a time until their client has read the 503.
/// Each holds a descriptor that `descriptors` has set aside.
pub(super) const OVERFLOW: usize = 4;

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
    listener: impl Into<Listening>,
    service: S,
    limits: Limits,
    counts: ConnectionCounts,
    mut shutdown: Shutdown,
) -> usize
where
    S: HttpService<Incoming>,
{
    let Listening {
        socket: listener,
        is_handed_over,
    } = listener.into();
    let connections = Connections {
        service: Arc::new(service),
        limits,
        counts,
        shutdown: shutdown.clone(),
        permits: Arc::new(Semaphore::new(
            limits.max_connections.min(Semaphore::MAX_PERMITS),
        )),
        overflow: Arc::new(Semaphore::new(OVERFLOW)),
        cut: Arc::default(),
        over_limit: RateLimit::default(),
    };
    let out_of_descriptors = RateLimit::default();
    loop {
        let accepted = tokio::select! {
            () = shutdown.reached(Stage::Draining) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => connections.admit(stream, peer),
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                out_of_descriptors.note(|| {
                    move |times| tracing::error!(times, "cannot accept connections: {error}")
                });
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
    if is_handed_over {
        drop(listener);
    } else if let Err(error) = connections.drain_accept_queue(listener) {
        tracing::warn!("the accept queue was not drained: {error}");
    }

    let everyone = u32::try_from(limits.max_connections).unwrap_or(u32::MAX);
    let mut all_closed = pin!(connections.permits.acquire_many(everyone));
    tokio::select! {
        _ = all_closed.as_mut() => {}
        () = shutdown.reached(Stage::Over) => {
            // The connections see it too, close at once, and say whether a request was cut.
            let _ = timeout(CLOSE_TIMEOUT, all_closed).await;
        }
    }
    connections.cut.load(Ordering::SeqCst)
}

/// A listener's connections, and what each of them needs.
struct Connections<S> {
    service: Arc<S>,
    limits: Limits,
    counts: ConnectionCounts,
    shutdown: Shutdown,
    /// One for each connection within the limit.
    permits: Arc<Semaphore>,
    overflow: Arc<Semaphore>,
    cut: Arc<AtomicUsize>,
    over_limit: RateLimit,
}

impl<S: HttpService<Incoming>> Connections<S> {
    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return self.refuse(stream);
        };
        let service = Arc::clone(&self.service);
        let peer = peer.ip().to_canonical();
        let (limits, shutdown) = (self.limits, self.shutdown.clone());
        let cut = Arc::clone(&self.cut);
        let counted = self.counts.opened();
        // Made inside: a future that is moved into another takes its size twice.
        tokio::spawn(async move {
            if serve_connection(stream, peer, service, limits, shutdown).await {
                cut.fetch_add(1, Ordering::SeqCst);
            }
            drop((permit, counted));
        });
    }

    /// Answers 503 at once instead of leaving the client in a queue.
    fn refuse(&self, stream: TcpStream) {
        self.counts.refused();
        let most = self.limits.max_connections;
        self.over_limit.note(|| {
            move |times| {
                tracing::warn!(
                    times,
                    "all {most} connections are taken; others are turned away"
                );
            }
        });
        // Past tokio, which does not know yet that a new connection can be written to. If it
        // cannot, closing it has to do.
        let answer = Refusal::of(StatusCode::SERVICE_UNAVAILABLE).into_bytes();
        let _ = socket2::SockRef::from(&stream).send(&answer);
        if let Ok(permit) = Arc::clone(&self.overflow).try_acquire_owned() {
            tokio::spawn(async move {
                close_lingering(stream).await;
                drop(permit);
            });
        }
    }

    /// Serves the clients that have connected already. Asks the system and not tokio, which learns
    /// of a connection only when it polls next.
    fn drain_accept_queue(&self, listener: TcpListener) -> io::Result<()> {
        let listener = listener.into_std()?;
        for accepted in queued(|| listener.accept()) {
            let (stream, peer) = accepted?;
            stream.set_nonblocking(true)?;
            self.admit(TcpStream::from_std(stream)?, peer);
        }
        Ok(())
    }
}

/// The connections in the accept queue, and no more than fit into it: clients that keep coming
/// must not keep a listener from closing.
fn queued<T>(mut accept: impl FnMut() -> io::Result<T>) -> impl Iterator<Item = io::Result<T>> {
    // The system queues one more than it was asked to.
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
        let everyone = queued(|| Ok(()));
        assert_eq!(everyone.count(), usize::try_from(BACKLOG).unwrap() + 1);
        let aborted = queued::<()>(|| Err(ErrorKind::ConnectionAborted.into()));
        assert_eq!(aborted.count(), 0);
    }

    #[test]
    fn who_connects_after_the_queue_was_empty_is_too_late() {
        let mut answers = [Ok(1), Err(ErrorKind::ConnectionReset.into()), Ok(2)]
            .into_iter()
            .chain([Err(ErrorKind::WouldBlock.into()), Ok(3)]);
        let admitted: Vec<_> = queued(|| answers.next().unwrap_or(Ok(4)))
            .map_while(Result::ok)
            .collect();
        assert_eq!(admitted, [1, 2]);
    }
}
