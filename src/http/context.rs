//! What the edge reads in a request's headers, among it the id and the trace that every log line
//! says; and work that outlives the request.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::header::{HOST, HeaderMap, HeaderValue, ORIGIN};
use axum::response::IntoResponse as _;

use super::common::X_REQUEST_ID;
use super::error::ApiError;
use crate::task::{self, RequestContext, RequestId, RequestLimits, TRACEPARENT, TraceParent};

/// What the edge looks for among a request's headers. Found in one pass: looking one up takes
/// longer than comparing its name with all that most requests have.
#[derive(Default)]
pub(super) struct Seen {
    /// How often `Host` is there.
    pub(super) hosts: usize,
    pub(super) origin: Option<HeaderValue>,
    request_id: Option<HeaderValue>,
    parent: Option<TraceParent>,
}

impl Seen {
    pub(super) fn among(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for (name, value) in headers {
            if *name == HOST {
                seen.hosts += 1;
            } else if *name == ORIGIN {
                seen.origin.get_or_insert_with(|| value.clone());
            } else if *name == X_REQUEST_ID {
                seen.request_id.get_or_insert_with(|| value.clone());
            } else if *name == TRACEPARENT {
                seen.parent = TraceParent::of(headers);
            }
        }
        seen
    }

    /// The context of the request: the caller's request id if it sent a sane one (1 to 128 visible
    /// ASCII characters), else a new one; and the caller's trace, if it sent one.
    pub(super) fn context(
        &mut self,
        peer: IpAddr,
        limits: &'static RequestLimits,
    ) -> RequestContext {
        let sane = self.request_id.take().filter(|id| {
            (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
        });
        RequestContext {
            id: sane.map_or_else(fresh_id, RequestId::Sent),
            parent: self.parent.take(),
            peer,
            limits,
        }
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
