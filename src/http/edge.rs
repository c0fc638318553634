//! What every request passes on its way in and every answer on its way out, on both listeners.
//!
//! On the way in: a name for the log, a look at what hyper lets through, a deadline. On the way
//! out: the headers that every answer carries. A handler that panics or dawdles is answered for.

#![expect(
    clippy::manual_async_fn,
    reason = "an `async fn` keeps its arguments twice, and what it keeps is copied with each request"
)]

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HOST, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::{Authority, PathAndQuery};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use tower::ServiceExt as _;

use super::context::{X_REQUEST_ID, context_of, fresh_id};
use super::error::ApiError;
use super::route::Route;
use super::{App, Draining, HttpService, Inner, Routes, host};
use crate::deadline::within;
use crate::metrics::{CANCELLED, Metrics};
use crate::task::RequestLimits;

/// Longest request target that is looked at, in bytes.
const MAX_TARGET_BYTES: usize = 8 * 1024;

/// The outermost: gives requests a context, counts them, and puts the common headers on answers.
pub(super) struct Edge<S> {
    routes: S,
    draining: Draining,
    metrics: Arc<Metrics>,
    /// Whether answers depend on the caller's origin and cookie.
    varies: bool,
    limits: &'static RequestLimits,
}

impl<S> Edge<S> {
    pub(super) fn new(routes: S, app: &App, varies: bool) -> Self {
        Self {
            routes,
            draining: app.0.draining.clone(),
            metrics: Arc::clone(&app.0.metrics),
            varies,
            limits: Box::leak(Box::new(RequestLimits::new())),
        }
    }
}

impl<S, B> HttpService<B> for Edge<S>
where
    S: Inner,
    B: axum::body::HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    fn answer(
        &self,
        request: axum::http::Request<B>,
        peer: IpAddr,
    ) -> impl Future<Output = Response> {
        async move {
            let request = request.map(Body::new);
            let mut counted = Counted::begin(&request, &self.metrics);
            let context = context_of(request.headers(), peer, self.limits);
            let answer = pin!(self.routes.answer(request));
            let (mut response, context) = context.scope(answer).await;
            counted.end(response.status());
            let id = context.map_or_else(fresh_id, |context| context.id);
            self.complete(&mut response, id);
            response
        }
    }
}

impl<S> Edge<S> {
    fn complete(&self, response: &mut Response, id: HeaderValue) {
        let has_no_content = response.status() == StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        if has_no_content {
            // RFC 9110, 8.6: not on a 204; the router puts it there for HEAD.
            headers.remove(CONTENT_LENGTH);
        }
        put_common_headers(headers, id);
        if self.varies {
            headers.insert(VARY, HeaderValue::from_static("Origin, Cookie"));
        }
        if self.draining.has_begun() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// A request that is counted when it is over, whichever way.
struct Counted<'a> {
    metrics: &'a Metrics,
    route: Route,
    method: Method,
    begun: Instant,
    status: u16,
}

impl<'a> Counted<'a> {
    fn begin(request: &Request, metrics: &'a Metrics) -> Self {
        Self {
            metrics,
            route: Route::of(request.uri().path()),
            method: request.method().clone(),
            begun: Instant::now(),
            status: CANCELLED,
        }
    }

    fn end(&mut self, status: StatusCode) {
        self.status = status.as_u16();
        self.route.count_outcome(self.status, self.metrics);
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let (route, method) = (self.route as usize, self.method.as_str());
        self.metrics
            .http_request(route, method, self.status, self.begun.elapsed());
    }
}

/// The headers of every answer.
pub(super) fn put_common_headers(headers: &mut HeaderMap, id: HeaderValue) {
    headers.insert(X_REQUEST_ID, id);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// Refuses what hyper lets through and HTTP does not, and sees that every request is answered:
/// in time, and even if its handler panics.
pub(super) struct Guarded<S> {
    routes: S,
    timeout: Duration,
    /// Whether a request must call the listener by a name of this machine.
    for_loopback_names: bool,
}

impl<S> Guarded<S> {
    pub(super) const fn new(routes: S, timeout: Duration) -> Self {
        Self {
            routes,
            timeout,
            for_loopback_names: false,
        }
    }

    /// Refuses requests that call the listener by another name than one of this machine.
    pub(super) fn for_loopback_names(self) -> Self {
        Self {
            for_loopback_names: true,
            ..self
        }
    }
}

impl<S: Routes> Inner for Guarded<S> {
    fn answer(&self, request: Request) -> impl Future<Output = Response> {
        async move {
            if let Err(refusal) = admissible(&request) {
                return refusal.into_response();
            }
            if self.for_loopback_names && !host::is_loopback(&request) {
                return ApiError::ForeignHost.into_response();
            }
            let answer = AssertUnwindSafe(self.routes.clone().oneshot(request));
            match within(self.timeout, pin!(answer.catch_unwind())).await {
                Some(Ok(Ok(answered))) => answered,
                // The panic hook has logged it.
                Some(Err(_panic)) => ApiError::Internal.into_response(),
                None => ApiError::TooSlow.into_response(),
            }
        }
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
