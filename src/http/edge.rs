//! What a request passes before its handler, and its answer after it, on either listener.
//!
//! In this order, from outside to inside:
//!
//! 1. context and count: a request id for the log lines and the answer, a place in the metrics
//! 2. CORS (public): which pages may read the answer
//! 3. a look at what hyper lets through and HTTP does not: `Host` and the length of the target; on
//!    an admin listener at a loopback address also the name in `Host`
//! 4. the deadline, and an answer for a handler that panics
//! 5. CSRF (public): 403 to a page of a foreign origin
//! 6. the session cookie (public): its tokens go to the handler
//! 7. the admin token (under `/admin`), and the most that a body may have
//! 8. the handler, which `dispatch` picks or the router
//!
//! The context comes first, so that whatever refuses a request is logged under its id and counted,
//! and its answer has the headers of every answer. CORS stands outside of all that refuses, for a
//! page is to be able to read why. What costs nothing refuses before the deadline is set, and a
//! page is refused before its cookie is read. What a proxy asks in its client's name meets neither
//! CORS nor CSRF, and its target may have any length. Every path under `/admin` is behind the
//! token, also one that is no route: nobody learns without it which there are.

#![expect(
    clippy::manual_async_fn,
    reason = "an `async fn` keeps its arguments twice, and what it keeps is copied with each request"
)]

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::DefaultBodyLimit;
use axum::http::header::CONNECTION;
use axum::http::uri::{Authority, PathAndQuery};
use axum::http::{HeaderValue, Method, Request, StatusCode, Version};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use futures_util::future::Either;

use super::allowed_origin::Origin;
use super::bearer::{MAX_BODY_BYTES, require_token};
use super::common::{put_common_headers, put_public_headers};
use super::context::Seen;
use super::dispatch::{Body, PublicRoutes, Routes};
use super::error::ApiError;
use super::origin::{Cors, refuse_foreign};
use super::route::{self, Route};
use super::{App, AppState, Draining, host};
use crate::deadline::within;
use crate::metrics::{CANCELLED, Metrics};
use crate::task::RequestLimits;

/// Longest request target that is looked at, in bytes.
const MAX_TARGET_BYTES: usize = 8 * 1024;

/// What a listener serves: it answers every request, whatever happens.
pub trait HttpService<B>: Send + Sync + 'static {
    /// The answer to `request`, which `peer` has sent.
    fn answer(&self, request: Request<B>, peer: IpAddr) -> impl Future<Output = Response> + Send;
}

/// The public listener: logout and check, for pages of `allowed_origins` and for everyone who is
/// not a browser.
pub fn public<B: Body>(app: &App, allowed_origins: &[Origin]) -> impl HttpService<B> + use<B> {
    let state = AppState::from(app);
    let routes = PublicRoutes {
        refuse_foreign: refuse_foreign(allowed_origins),
        router: route::public(app)
            .method_not_allowed_fallback(other_method)
            .fallback(no_such_route)
            .with_state(state.clone()),
        app: state,
    };
    Edge {
        cors: Some(Cors::new(allowed_origins)),
        ..Edge::before(routes, app)
    }
}

/// The admin listener: sessions for login backends and operators, health for whoever runs it. One
/// that is `bound` to a loopback address answers to no foreign name.
pub fn admin<B: Body>(app: &App, bound: SocketAddr) -> impl HttpService<B> + use<B> {
    let sessions = route::sessions()
        .route("/admin/{*rest}", axum::routing::any(no_such_route))
        .method_not_allowed_fallback(other_method)
        .layer(from_fn_with_state(Arc::clone(&app.tokens), require_token));
    let routes = sessions
        .merge(route::operation(app))
        .method_not_allowed_fallback(other_method)
        .fallback(no_such_route)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(AppState::from(app));
    Edge {
        only_loopback_names: bound.ip().to_canonical().is_loopback(),
        ..Edge::before(routes, app)
    }
}

async fn no_such_route() -> ApiError {
    ApiError::NoSuchRoute
}

/// The router adds `Allow`.
async fn other_method() -> ApiError {
    ApiError::MethodNotAllowed
}

/// What stands before `routes`.
struct Edge<R> {
    routes: R,
    /// On the public listener, whose answers depend on the caller's origin and cookie.
    cors: Option<Cors>,
    /// Whether a request must call the listener by a name of this machine.
    only_loopback_names: bool,
    timeout: Duration,
    draining: Draining,
    metrics: Arc<Metrics>,
    limits: &'static RequestLimits,
}

impl<R> Edge<R> {
    fn before(routes: R, app: &App) -> Self {
        Self {
            routes,
            cors: None,
            only_loopback_names: false,
            timeout: app.request_timeout,
            draining: app.draining.clone(),
            metrics: Arc::clone(&app.metrics),
            limits: Box::leak(Box::new(RequestLimits::new())),
        }
    }
}

impl<R, B> HttpService<B> for Edge<R>
where
    R: Routes<B>,
    B: Body,
{
    fn answer(&self, request: Request<B>, peer: IpAddr) -> impl Future<Output = Response> {
        async move {
            let mut counted = Counted::begin(&request, &self.metrics);
            let mut seen = Seen::among(request.headers());
            let context = seen.context(peer, self.limits);
            let id = context.id.clone();
            let answer = self.readable(request, &seen, counted.route);
            let mut response = context.scope(pin!(answer)).await;
            counted.end(response.status());
            self.complete(&mut response, id.into());
            response
        }
    }
}

impl<R> Edge<R> {
    /// The answer, which pages of allowed origins may read.
    fn readable<B: Body>(
        &self,
        request: Request<B>,
        seen: &Seen,
        route: Route,
    ) -> impl Future<Output = Response>
    where
        R: Routes<B>,
    {
        match &self.cors {
            Some(cors) if route != Route::ExtAuthz => {
                let inner = move |request| self.guarded(request, seen.hosts, route);
                Either::Left(cors.around(request, seen.origin.as_ref(), inner))
            }
            _ => Either::Right(self.guarded(request, seen.hosts, route)),
        }
    }

    /// The answer to a request that is to be let in: in time, and even if its handler panics.
    fn guarded<B: Body>(
        &self,
        request: Request<B>,
        hosts: usize,
        route: Route,
    ) -> impl Future<Output = Response>
    where
        R: Routes<B>,
    {
        async move {
            if let Err(refusal) = self.admissible(&request, hosts, route) {
                return refusal.into_response();
            }
            // Begun inside, where a panic is caught.
            let answer = async move { self.routes.answer(request, route).await };
            let answer = AssertUnwindSafe(answer);
            match within(self.timeout, pin!(answer.catch_unwind())).await {
                Some(Ok(answered)) => answered,
                // The panic hook has logged it.
                Some(Err(_panic)) => ApiError::Internal.into_response(),
                None => ApiError::TooSlow.into_response(),
            }
        }
    }

    fn admissible<B>(
        &self,
        request: &Request<B>,
        hosts: usize,
        route: Route,
    ) -> Result<(), ApiError> {
        let host_optional = request.version() < Version::HTTP_11;
        if hosts > 1 || (hosts == 0 && !host_optional) {
            return Err(ApiError::BadHost);
        }
        let uri = request.uri();
        let host = uri.authority().map_or("", Authority::as_str);
        let path = uri.path_and_query().map_or("", PathAndQuery::as_str);
        if host.len() + path.len() > MAX_TARGET_BYTES && route != Route::ExtAuthz {
            return Err(ApiError::TargetTooLong);
        }
        if self.only_loopback_names && !host::is_loopback(request) {
            return Err(ApiError::ForeignHost);
        }
        Ok(())
    }

    fn complete(&self, response: &mut Response, id: HeaderValue) {
        let headers = response.headers_mut();
        if self.cors.is_some() {
            put_public_headers(headers, id);
        } else {
            put_common_headers(headers, id);
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
    fn begin<B>(request: &Request<B>, metrics: &'a Metrics) -> Self {
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
        let method = self.route.counted_method(&self.method);
        let (route, took) = (self.route as usize, self.begun.elapsed());
        self.metrics.http_request(route, method, self.status, took);
    }
}
