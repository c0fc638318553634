//! What is known of the request that a piece of work belongs to: its id, and those of the trace it
//! is part of, for every log line.
//!
//! It travels with the task and not in a tracing span, because a span costs an allocation and a
//! lock per request while hardly any request writes a line.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::header::HeaderMap;
use axum::http::{HeaderName, HeaderValue};

use super::trace::TraceParent;
use crate::session::put_hex;

/// The header that carries a request's id, both ways.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static CURRENT: RequestContext;
}

/// What every log line of a request says about it.
#[derive(Clone, Debug)]
pub(super) struct RequestContext {
    id: HeaderValue,
    parent: Option<TraceParent>,
}

impl RequestContext {
    /// The caller's request id if it sent a sane one (1 to 128 visible ASCII characters), else a
    /// new one; and the caller's trace, if it sent one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let sane = headers.get(X_REQUEST_ID).filter(|id| {
            (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
        });
        Self {
            id: sane.cloned().unwrap_or_else(fresh_id),
            parent: TraceParent::of(headers),
        }
    }

    /// The request's id.
    pub(super) fn into_id(self) -> HeaderValue {
        self.id
    }

    /// Runs `work` as part of this request, and hands the context back.
    pub(super) async fn scope<F: Future>(self, work: Pin<&mut F>) -> (F::Output, Option<Self>) {
        let mut scoped = pin!(CURRENT.scope(self, work));
        let output = scoped.as_mut().await;
        (output, scoped.take_value())
    }
}

/// Runs `work` to its end even if the request that asked for it is abandoned: a client that
/// hangs up must not decide whether its logout happened. Work that is done at once costs nothing.
pub(super) async fn to_the_end<F>(work: F) -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    let mut work = Box::pin(work);
    if let std::task::Poll::Ready(done) = futures_util::poll!(work.as_mut()) {
        return done;
    }
    let context = CURRENT.try_with(Clone::clone).ok();
    let task = tokio::spawn(async move {
        match context {
            Some(context) => context.scope(work.as_mut()).await.0,
            None => work.await,
        }
    });
    match task.await {
        Ok(done) => done,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

/// Hands `name` and value of what is known of the current request to `field`; for log lines.
pub fn describe_current(field: &mut dyn FnMut(&'static str, &str)) {
    // Outside of a request there is nothing to say.
    let _ = CURRENT.try_with(|context| {
        field("requestId", context.id.to_str().unwrap_or_default());
        if let Some(parent) = &context.parent {
            field("traceId", parent.trace_id());
            field("spanId", parent.span_id());
        }
    });
}

/// Unique over processes by its first half, random, and within one by its second, counted.
pub(super) fn fresh_id() -> HeaderValue {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| getrandom::u64().unwrap_or_default());
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut id = [0; 32];
    for (digits, half) in id.chunks_exact_mut(16).zip([*PROCESS, count]) {
        put_hex(digits, &half.to_be_bytes());
    }
    // Hex digits are legal in a header.
    HeaderValue::from_bytes(&id).unwrap_or_else(|_| HeaderValue::from_static("none"))
}
