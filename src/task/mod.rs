//! Work that is done to its end even if nobody waits for it any longer, and what log lines say of
//! the request that they belong to, and how often.
//!
//! What is known of a request travels with the task and not in a tracing span, because a span
//! costs an allocation and a lock per request while hardly any request writes a line.

mod trace;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use axum::http::HeaderValue;
use tokio::runtime::Handle;
use tokio::sync::watch;

pub(crate) use trace::{TRACEPARENT, TraceParent};

use crate::rate_limit::{RateLimit, RateLimits};

tokio::task_local! {
    static CURRENT: RequestContext;
}

/// The limits of the lines that requests to one listener may cause: by what was asked for, and what
/// came of it.
pub(crate) type RequestLimits = RateLimits<(&'static str, &'static str)>;

/// The id of a request. One made up here becomes a header once its answer needs it.
#[derive(Clone, Debug)]
pub(crate) enum RequestId {
    Sent(HeaderValue),
    Made([u8; 32]),
}

impl RequestId {
    fn as_str(&self) -> &str {
        match self {
            Self::Sent(id) => id.to_str().unwrap_or_default(),
            Self::Made(digits) => std::str::from_utf8(digits).unwrap_or_default(),
        }
    }
}

impl From<RequestId> for HeaderValue {
    fn from(id: RequestId) -> Self {
        match id {
            RequestId::Sent(id) => id,
            // Hex digits are legal in a header.
            RequestId::Made(digits) => {
                Self::from_bytes(&digits).unwrap_or(Self::from_static("none"))
            }
        }
    }
}

/// What every log line of a request says about it, and what some do.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext {
    pub(crate) id: RequestId,
    /// The trace that it is part of.
    pub(crate) parent: Option<TraceParent>,
    /// Who sent it: a client, or a proxy.
    pub(crate) peer: IpAddr,
    /// Of its listener, which lives as long as the process: nothing is counted for each request.
    pub(crate) limits: &'static RequestLimits,
}

impl RequestContext {
    /// Runs `work` as part of this request.
    pub(crate) fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }
}

/// Who sent the current request.
pub(crate) fn peer() -> Option<IpAddr> {
    CURRENT.try_with(|context| context.peer).ok()
}

/// The limit of the lines about this outcome of this operation, for the current request and others
/// to its listener.
pub(crate) fn rate_limit(operation: &'static str, outcome: &'static str) -> RateLimit {
    static OUTSIDE: RequestLimits = RequestLimits::new();
    let limits = CURRENT.try_with(|context| context.limits);
    limits.unwrap_or(&OUTSIDE).of((operation, outcome))
}

/// Hands `name` and value of what is known of the current request to `field`; for log lines.
pub fn describe_current(field: &mut dyn FnMut(&'static str, &str)) {
    // Outside of a request there is nothing to say.
    let _ = CURRENT.try_with(|context| {
        field("requestId", context.id.as_str());
        if let Some(parent) = &context.parent {
            field("traceId", parent.trace_id());
            field("spanId", parent.span_id());
        }
    });
}

/// `work`, which goes on if it is dropped half-way: a client that hangs up and a call that runs
/// out of time must not decide whether a session ended. `abandoned` is then given its output.
///
/// Work is detached only once it is dropped: it becomes a task of its own, in the context of the
/// request that began it.
pub(crate) fn to_the_end<F, U, L>(work: F, abandoned: U) -> ToTheEnd<F, U, L>
where
    F: Future<Output: Send> + Send + 'static,
    U: FnOnce(F::Output) -> L + Send + 'static,
    L: Future<Output = ()> + Send + 'static,
{
    ToTheEnd {
        rest: Some((Box::pin(work), abandoned)),
        context: None,
    }
}

/// See [`to_the_end`].
pub(crate) struct ToTheEnd<F, U, L>
where
    F: Future<Output: Send> + Send + 'static,
    U: FnOnce(F::Output) -> L + Send + 'static,
    L: Future<Output = ()> + Send + 'static,
{
    /// What is not done yet.
    rest: Option<(Pin<Box<F>>, U)>,
    /// Known once the work has been begun and had to wait.
    context: Option<RequestContext>,
}

impl<F, U, L> Unpin for ToTheEnd<F, U, L>
where
    F: Future<Output: Send> + Send + 'static,
    U: FnOnce(F::Output) -> L + Send + 'static,
    L: Future<Output = ()> + Send + 'static,
{
}

impl<F, U, L> Future for ToTheEnd<F, U, L>
where
    F: Future<Output: Send> + Send + 'static,
    U: FnOnce(F::Output) -> L + Send + 'static,
    L: Future<Output = ()> + Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // Taken out, so that work which panics is not gone on with.
        let Some((mut work, abandoned)) = self.rest.take() else {
            return Poll::Pending;
        };
        let answer = work.as_mut().poll(cx);
        if answer.is_pending() {
            if self.context.is_none() {
                self.context = CURRENT.try_with(Clone::clone).ok();
            }
            self.rest = Some((work, abandoned));
        }
        answer
    }
}

impl<F, U, L> Drop for ToTheEnd<F, U, L>
where
    F: Future<Output: Send> + Send + 'static,
    U: FnOnce(F::Output) -> L + Send + 'static,
    L: Future<Output = ()> + Send + 'static,
{
    fn drop(&mut self) {
        // Where no runtime is, nothing can go on.
        let (Some((work, abandoned)), Ok(runtime)) = (self.rest.take(), Handle::try_current())
        else {
            return;
        };
        let detached = Detached::one_more();
        let context = self.context.take();
        runtime.spawn(async move {
            let _detached = detached;
            let rest = async move { abandoned(work.await).await };
            match context {
                Some(context) => CURRENT.scope(context, rest).await,
                None => rest.await,
            }
        });
    }
}

/// How many detached tasks are running.
static DETACHED: LazyLock<watch::Sender<usize>> = LazyLock::new(watch::Sender::default);

struct Detached;

impl Detached {
    fn one_more() -> Self {
        DETACHED.send_modify(|count| *count += 1);
        Self
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        DETACHED.send_modify(|count| *count -= 1);
    }
}

/// Waits until all detached tasks are done: at the end of the process.
pub(crate) async fn all_done() {
    // The sender lives as long as the process.
    let _ = DETACHED.subscribe().wait_for(|count| *count == 0).await;
}
