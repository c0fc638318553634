//! One connection from its first byte to its last: HTTP/1.1 and nothing else.

use std::pin::pin;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use super::shutdown::Stage;
use super::watch::{Phase, Watch, Watched};
use super::{Limits, Shutdown};
use crate::http::HttpService;

/// Largest head of a request, and so the most that a connection buffers, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Most headers of a request.
const MAX_HEADERS: usize = 64;

/// Serves one connection. Answers whether it was cut while a request was being answered.
pub(super) async fn converse<S>(
    stream: TcpStream,
    service: S,
    limits: Limits,
    mut shutdown: Shutdown,
) -> bool
where
    S: HttpService<Incoming>,
{
    let watch = Watch::new();
    let noted = watch.clone();
    let answer = move |request| {
        noted.enter(Phase::Request);
        let noted = noted.clone();
        let answer = service.clone().call(request);
        async move {
            let answer = answer.await;
            noted.enter(Phase::Answer);
            answer
        }
    };
    let connection = http1::Builder::new()
        // A client that has said all it will say still gets its answer.
        .half_close(true)
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(
            TokioIo::new(Watched::new(stream, watch.clone())),
            service_fn(answer),
        );
    let mut connection = pin!(connection);
    let mut awaited = Stage::Closing;

    // No phase is shorter than this, so looking this often misses no deadline.
    let shortest = limits
        .header_timeout
        .min(limits.request_timeout)
        .min(limits.keep_alive_timeout);
    let mut next_look = pin!(sleep_until(Instant::now() + shortest));
    loop {
        tokio::select! {
            biased;
            // How a connection ends is the client's business; errors here are not ours to log.
            _ = connection.as_mut() => return false,
            () = next_look.as_mut() => {}
            () = shutdown.reached(awaited) => {
                if awaited == Stage::Over {
                    return matches!(watch.phase(), Phase::Request | Phase::Answer);
                }
                awaited = Stage::Over;
                connection.as_mut().graceful_shutdown();
            }
        }
        let deadline = watch.deadline(&limits, awaited == Stage::Over);
        let now = Instant::now();
        if deadline <= now {
            return false;
        }
        next_look.as_mut().reset(deadline.min(now + shortest));
    }
}
