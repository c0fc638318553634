//! The accept loop of a listener: takes connections in up to its cap, and closes down in order.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::converse;
use super::shutdown::Stage;
use super::{Limits, Shutdown};
use crate::http::HttpService;
use crate::metrics::{Listener, Metrics, OpenConnection};

/// How long to leave a listener alone that has run out of descriptors or memory.
const BREATHER: Duration = Duration::from_millis(100);

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

/// A connection's place under the cap, and in the count of open ones, for as long as it lives.
struct Place {
    _permit: OwnedSemaphorePermit,
    _counted: OpenConnection,
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
    let room = Arc::new(Semaphore::new(
        limits.max_connections.min(Semaphore::MAX_PERMITS),
    ));
    let cut = Arc::new(AtomicUsize::new(0));
    let take_in = |stream: TcpStream| match Arc::clone(&room).try_acquire_owned() {
        Ok(permit) => {
            let place = Place {
                _permit: permit,
                _counted: counts.opened(),
            };
            let service = service.clone();
            let shutdown = shutdown.clone();
            tokio::spawn(occupy(
                place,
                stream,
                service,
                limits,
                shutdown,
                Arc::clone(&cut),
            ));
        }
        Err(_full) => {
            counts.refused();
            turn_away(&stream);
        }
    };

    let mut is_short = false;
    let mut end = shutdown.clone();
    loop {
        let accepted = tokio::select! {
            () = end.reached(Stage::Draining) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _peer)) => {
                is_short = false;
                take_in(stream);
            }
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                if !is_short {
                    tracing::error!("cannot accept connections: {error}");
                }
                is_short = true;
                tokio::time::sleep(BREATHER).await;
            }
        }
    }

    // Whoever has connected already is still served.
    while let Some(Ok((stream, _peer))) = listener.accept().now_or_never() {
        take_in(stream);
    }
    drop(listener);

    let everyone = u32::try_from(limits.max_connections).unwrap_or(u32::MAX);
    let all_left = room.acquire_many(everyone);
    tokio::select! {
        _ = all_left => {}
        () = shutdown.reached(Stage::Over) => {
            // The connections see it too; they say whether a request was cut.
            tokio::task::yield_now().await;
        }
    }
    cut.load(Ordering::SeqCst)
}

async fn occupy<S>(
    _place: Place,
    stream: TcpStream,
    service: S,
    limits: Limits,
    shutdown: Shutdown,
    cut: Arc<AtomicUsize>,
) where
    S: HttpService<Incoming>,
{
    if converse(stream, service, limits, shutdown).await {
        cut.fetch_add(1, Ordering::SeqCst);
    }
}

/// Says no at once instead of leaving the client in a queue. A few bytes always fit a fresh
/// connection's buffer; if they do not, closing says it too.
fn turn_away(stream: &TcpStream) {
    const BODY: &str = r#"{"statusCode":503,"statusMessage":"Service Unavailable","data":{"message":"Too many connections"}}"#;
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
         cache-control: no-store\r\nx-content-type-options: nosniff\r\nretry-after: 1\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let _ = stream.try_write(answer.as_bytes());
}

/// Errors of one connection that never came to be, rather than of the listener.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}
