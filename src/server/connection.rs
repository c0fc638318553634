//! One connection from its first byte to its last: HTTP/1.1 and nothing else.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::shutdown::{Shutdown, Stage};
use super::watch::{Phase, REST_AFTER, Watch, Watched};
use crate::config::Limits;
use crate::http::HttpService;

/// Largest head of a request, and so the most that a connection buffers, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Most headers of a request.
const MAX_HEADERS: usize = 64;

/// When the deadline of a connection is first looked at, counted from the beginning of its first
/// request; after that at intervals twice as long each time. Most connections are idle by then,
/// and those that are not are busy, and should not be interrupted often.
const FIRST_LOOK: Duration = REST_AFTER;

/// How long a client may go on sending after the last answer.
const LINGER: Duration = Duration::from_secs(1);

/// Why hyper was taken off a connection.
enum End {
    /// The connection is closed.
    Closed,
    /// It is idle and stays open. With the bytes of the next request that hyper has read along with
    /// the last one.
    Idle(Bytes),
    /// A deadline passed.
    TimedOut,
    /// The end of the service cut a request short.
    Cut,
}

/// Serves one connection. Answers whether it was cut while a request was being answered.
pub(super) async fn serve_connection<S>(
    mut stream: TcpStream,
    peer: IpAddr,
    service: Arc<S>,
    limits: Limits,
    mut shutdown: Shutdown,
) -> bool
where
    S: HttpService<Incoming>,
{
    let watch = Watch::new();
    let mut left_over = Bytes::new();
    let mut first_byte = [0];
    let mut awaited = Stage::Closing;
    loop {
        if left_over.is_empty() {
            let is_closing = awaited == Stage::Over;
            tokio::select! {
                biased;
                // Looked for, since tokio takes a new connection to be readable until it is not.
                _ = stream.peek(&mut first_byte) => {}
                () = sleep_until(watch.latest(&limits, is_closing)) => return false,
                () = shutdown.reached(awaited) => {
                    if is_closing {
                        return false;
                    }
                    awaited = Stage::Over;
                    continue;
                }
            }
        }
        let mut watched = Watched::new(&mut stream, &watch, std::mem::take(&mut left_over));
        match serve_requests(
            &mut watched,
            peer,
            &*service,
            &watch,
            &limits,
            &mut shutdown,
        )
        .await
        {
            End::Closed => {
                tokio::select! {
                    () = close_lingering(stream) => {}
                    () = shutdown.reached(Stage::Over) => {}
                }
                return false;
            }
            End::Idle(head) => left_over = head,
            End::TimedOut => return false,
            End::Cut => return true,
        }
    }
}

/// Lets hyper serve the connection until it is idle or ends.
///
/// hyper holds two buffers of 8 KiB for a connection, so an idle one is taken from it and kept
/// without. What hyper has read and not used is kept too: it is the beginning of a head.
async fn serve_requests<S>(
    stream: &mut Watched<'_>,
    peer: IpAddr,
    service: &S,
    watch: &Watch,
    limits: &Limits,
    shutdown: &mut Shutdown,
) -> End
where
    S: HttpService<Incoming>,
{
    let answer = |request: hyper::Request<Incoming>| {
        let is_pipelined = watch.enter_request();
        async move {
            if is_pipelined {
                // Other connections go first, so that pipelining gives a client no advantage.
                tokio::task::yield_now().await;
            }
            // Pinned where it is made: awaited as it is, it would be moved twice.
            let mut answer = pin!(service.answer(request, peer));
            let answer = answer.as_mut().await;
            watch.enter(Phase::Answer);
            Ok::<_, Infallible>(answer)
        }
    };
    let mut connection = http1::Builder::new()
        // A client that has closed its side still gets its answer.
        .half_close(true)
        // Answers are small: copied together they leave in one piece, which costs the system less
        // than gathering two.
        .writev(false)
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    let mut awaited = Stage::Closing;

    // No phase is shorter than this, so looking this often misses no deadline.
    let shortest = limits
        .header_timeout
        .min(limits.request_timeout)
        .min(limits.keep_alive_timeout);
    let mut pause = FIRST_LOOK.min(shortest);
    let mut next_look = pin!(sleep_until(Instant::now() + pause));
    loop {
        tokio::select! {
            biased;
            // How a connection ends is the client's business; errors here are not ours to log.
            _ = &mut connection => return End::Closed,
            () = next_look.as_mut() => {}
            () = shutdown.reached(awaited) => {
                if awaited == Stage::Over {
                    return match watch.phase() {
                        Phase::Request | Phase::Answer => End::Cut,
                        Phase::Silent | Phase::Head | Phase::Idle => End::TimedOut,
                    };
                }
                awaited = Stage::Over;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
        let is_closing = awaited == Stage::Over;
        let deadline = watch.deadline(limits, is_closing);
        let now = Instant::now();
        if deadline <= now {
            if watch.phase() != Phase::Idle || is_closing {
                return End::TimedOut;
            }
            let left_over = connection.into_parts().read_buf;
            if !left_over.is_empty() {
                watch.begin_head();
            }
            return End::Idle(left_over);
        }
        pause = shortest.min(pause * 2);
        next_look.as_mut().reset(deadline.min(now + pause));
    }
}

/// A lingering close: closing at once would reset the connection of a client that is still sending
/// (a body that nobody reads, say), and the answer would be lost with it.
pub(super) async fn close_lingering(stream: TcpStream) {
    // hyper has done so already, unless it gave up.
    let _ = socket2::SockRef::from(&stream).shutdown(std::net::Shutdown::Write);
    let drained = async { while stream.readable().await.is_ok() && discard(&stream) {} };
    // A client that still sends then is cut off.
    let _ = timeout(LINGER, drained).await;
}

/// Throws away what has come in; says whether more may come.
fn discard(stream: &TcpStream) -> bool {
    // Not kept across an await, or every connection would carry it.
    let mut waste = [0; 4096];
    match stream.try_read(&mut waste) {
        Ok(read) => read > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
