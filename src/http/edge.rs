//! What every request passes on its way in and every answer on its way out, on both listeners.
//!
//! On the way in: a name for the log, a look at what hyper lets through, a deadline. On the way
//! out: the headers that every answer carries. A handler that panics or dawdles is answered for.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HOST, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::{Authority, PathAndQuery};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use tower::{Service, ServiceExt as _};

use super::Draining;
use super::context::{RequestContext, X_REQUEST_ID, fresh_id};
use super::error::ApiError;

/// Longest request target that is looked at, in bytes.
const MAX_TARGET_BYTES: usize = 8 * 1024;

type Answer = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// The outermost service: gives requests a context and answers their common headers.
#[derive(Clone)]
pub(super) struct Edge<S> {
    inner: S,
    draining: Draining,
    /// Whether answers depend on the caller's origin and cookie.
    varies: bool,
}

impl<S> Edge<S> {
    pub(super) const fn new(inner: S, draining: Draining, varies: bool) -> Self {
        Self {
            inner,
            draining,
            varies,
        }
    }
}

impl<S, B> Service<axum::http::Request<B>> for Edge<S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
    B: axum::body::HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: axum::http::Request<B>) -> Answer {
        let edge = self.clone();
        let request = request.map(Body::new);
        Box::pin(async move {
            let context = RequestContext::of(request.headers());
            let id = context.id();
            let mut response = context.scope(edge.inner.oneshot(request)).await?;
            let has_no_content = response.status() == StatusCode::NO_CONTENT;
            let headers = response.headers_mut();
            if has_no_content {
                // RFC 9110, 8.6: not on a 204; the router puts it there for HEAD.
                headers.remove(CONTENT_LENGTH);
            }
            put_common_headers(headers, id);
            if edge.varies {
                headers.insert(VARY, HeaderValue::from_static("Origin, Cookie"));
            }
            if edge.draining.has_begun() {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response)
        })
    }
}

fn put_common_headers(headers: &mut HeaderMap, id: HeaderValue) {
    headers.insert(X_REQUEST_ID, id);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// An answer to what never becomes a request, in the shape of all other errors, as bytes.
pub struct Refusal(Response);

impl Refusal {
    /// The refusal that goes with `status`.
    #[must_use]
    pub fn of(status: StatusCode) -> Self {
        let error = match status {
            StatusCode::SERVICE_UNAVAILABLE => ApiError::TooManyConnections,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => ApiError::HeadTooLarge,
            StatusCode::URI_TOO_LONG => ApiError::TargetTooLong,
            _ => ApiError::NotHttp,
        };
        let mut response = error.into_response();
        put_common_headers(response.headers_mut(), fresh_id());
        Self(response)
    }

    /// The whole answer.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        let status = self.0.status();
        let mut bytes = format!("HTTP/1.1 {status}\r\nconnection: close\r\n").into_bytes();
        let (headers, body) = self.into_parts();
        bytes.extend([&headers[..], b"\r\n", &body].concat());
        bytes
    }

    /// The HTTP library's own refusal, `said`, completed with headers and body; `None` if it
    /// says something else.
    #[must_use]
    pub fn completing(said: &[u8]) -> Option<Vec<u8>> {
        let said = std::str::from_utf8(said).ok()?;
        let status = said.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let (before, after) = said.split_once("content-length: 0\r\n")?;
        let (headers, body) = Self::of(status).into_parts();
        Some([before.as_bytes(), &headers, after.as_bytes(), &body].concat())
    }

    /// The header lines and the body.
    fn into_parts(self) -> (Vec<u8>, Bytes) {
        let (parts, body) = self.0.into_parts();
        let body = to_bytes(body, usize::MAX).now_or_never();
        // An envelope is in memory, whole.
        let body = body.and_then(Result::ok).unwrap_or_default();
        let mut lines = Vec::new();
        for (name, value) in &parts.headers {
            lines.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        // The library writes this one, when it does the writing.
        lines.extend(format!("{CONTENT_LENGTH}: {}\r\n", body.len()).into_bytes());
        (lines, body)
    }
}

/// Refuses what hyper lets through and HTTP does not, and sees that every request is answered:
/// in time, and even if its handler panics.
#[derive(Clone)]
pub(super) struct Guard<S> {
    inner: S,
    timeout: Duration,
}

impl<S> Guard<S> {
    pub(super) const fn new(inner: S, timeout: Duration) -> Self {
        Self { inner, timeout }
    }
}

impl<S> Service<Request> for Guard<S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Answer {
        if let Err(refusal) = admissible(&request) {
            return Box::pin(std::future::ready(Ok(refusal.into_response())));
        }
        let answer = AssertUnwindSafe(self.inner.clone().oneshot(request)).catch_unwind();
        let in_time = tokio::time::timeout(self.timeout, answer);
        Box::pin(async move {
            match in_time.await {
                Ok(Ok(answered)) => answered,
                // The panic hook has logged it.
                Ok(Err(_panic)) => Ok(ApiError::Panicked.into_response()),
                Err(_elapsed) => Ok(ApiError::TooSlow.into_response()),
            }
        })
    }
}

fn admissible(request: &Request) -> Result<(), ApiError> {
    let hosts = request.headers().get_all(HOST).iter().count();
    let host_optional = request.version() < Version::HTTP_11;
    if hosts > 1 || (hosts == 0 && !host_optional) {
        return Err(ApiError::BadHost);
    }
    let uri = request.uri();
    let host = uri.authority().map_or("", Authority::as_str);
    let path = uri.path_and_query().map_or("", PathAndQuery::as_str);
    if host.len() + path.len() > MAX_TARGET_BYTES {
        return Err(ApiError::TargetTooLong);
    }
    Ok(())
}
