//! A request's id and trace, which are told by its headers and said in every log line, and work
//! that outlives the request.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::HeaderName;
use axum::http::header::HeaderMap;
use axum::response::IntoResponse as _;

use super::error::ApiError;
use crate::task::{self, RequestContext, RequestId, RequestLimits, TraceParent};

/// The header that carries a request's id, both ways.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The context of a request with these headers: the caller's request id if it sent a sane one
/// (1 to 128 visible ASCII characters), else a new one; and the caller's trace, if it sent one.
pub(super) fn context_of(
    headers: &HeaderMap,
    peer: IpAddr,
    limits: &'static RequestLimits,
) -> RequestContext {
    let sane = headers.get(X_REQUEST_ID).filter(|id| {
        (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    });
    RequestContext {
        id: sane.cloned().map_or_else(fresh_id, RequestId::Sent),
        parent: TraceParent::of(headers),
        peer,
        limits,
    }
}

/// Runs `work` to its end even if the request that asked for it is abandoned. Then its failure is
/// logged as if it were answered, and what else comes of it is `unheard`'s.
pub(super) async fn logged_to_the_end<T, F, U, L>(work: F, unheard: U) -> Result<T, ApiError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, ApiError>> + Send + 'static,
    U: FnOnce(T) -> L + Send + 'static,
    L: Future<Output = ()> + Send + 'static,
{
    let unheard = async move |outcome: Result<T, ApiError>| match outcome {
        Ok(done) => unheard(done).await,
        // What makes an answer of an error logs its cause.
        Err(error) => drop(error.into_response()),
    };
    task::to_the_end(work, unheard).await
}

/// For work of which there is nothing to say if nobody waits for it any longer.
pub(super) async fn done<T>(_outcome: T) {}

/// Unique over processes by its first half, random, and within one by its second, counted.
pub(super) fn fresh_id() -> RequestId {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| getrandom::u64().unwrap_or_default());
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut id = [0; 32];
    let number = u128::from(*PROCESS) << 64 | u128::from(count);
    // There is room for it.
    let _ = base16ct::lower::encode(&number.to_be_bytes(), &mut id);
    RequestId::Made(id)
}
