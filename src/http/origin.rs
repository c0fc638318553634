//! Which web pages may call the public listener from a browser: CSRF and CORS, both fed by
//! `--allowed-origins`, both by `tower-http`.
//!
//! [`refuse_foreign`] is the defence (Fetch Metadata and `Origin`, as in Go 1.25). [`share`] only
//! tells browsers whose pages may read the answers; it blocks nothing.

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::response::{IntoResponse as _, Response};
use futures_util::future::Either;
use tower::{Layer as _, Service};
use tower_http::cors::{AllowHeaders, Cors, CorsLayer};
use tower_http::csrf::{Csrf, CsrfLayer, ProtectionError};

use super::context::X_REQUEST_ID;
use super::error::ApiError;

/// An origin in `--allowed-origins` that no header can carry; `config` lets none through.
#[derive(Debug, thiserror::Error)]
#[error("not an origin: {0}")]
pub struct InvalidOrigin(String);

type Refusal = fn(ProtectionError) -> Response;

/// Answers 403 to a browser's state-changing request from an origin that is neither our own nor
/// allowed, before it reaches `routes`.
pub(super) fn refuse_foreign<S>(
    routes: S,
    allowed_origins: &[String],
) -> Result<Csrf<S, Refusal>, InvalidOrigin> {
    let mut csrf = CsrfLayer::new();
    for origin in allowed_origins {
        csrf = csrf
            .add_trusted_origin(origin)
            .map_err(|_| InvalidOrigin(origin.clone()))?;
    }
    let refusal: Refusal = |_| ApiError::OriginRefused.into_response();
    Ok(csrf.with_rejection_response(refusal).layer(routes))
}

/// Lets pages of the allowed origins read the answers, and answers their preflights.
pub(super) fn share<S: Clone>(
    routes: S,
    allowed_origins: &[String],
) -> Result<Shared<S>, InvalidOrigin> {
    let origins: Result<Vec<HeaderValue>, _> = allowed_origins
        .iter()
        .map(|origin| HeaderValue::try_from(origin).map_err(|_| InvalidOrigin(origin.clone())))
        .collect();
    let cors = CorsLayer::new()
        .allow_origin(origins?)
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([X_REQUEST_ID])
        .max_age(Duration::from_hours(2))
        // The edge says `Vary: Origin` on every answer.
        .vary::<[HeaderName; 0]>([]);
    Ok(Shared {
        shared: cors.layer(routes.clone()),
        routes,
    })
}

/// The routes twice: with CORS for browsers' cross-origin requests, without for all others, so
/// that an `OPTIONS` that is no preflight reaches its route.
#[derive(Clone)]
pub(super) struct Shared<S> {
    shared: Cors<S>,
    routes: S,
}

impl<S> Service<Request> for Shared<S>
where
    S: Service<Request, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<<Cors<S> as Service<Request>>::Future, S::Future>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let headers = request.headers();
        let is_options = request.method() == Method::OPTIONS;
        let is_cross_origin = headers.contains_key(ORIGIN)
            && (!is_options || headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD));
        if is_cross_origin {
            Either::Left(self.shared.call(request))
        } else {
            Either::Right(self.routes.call(request))
        }
    }
}
