//! The cookie-extracting middleware: what stands in front of logout and check.
//!
//! It leaves the request's session tokens in the request, or answers 401, so that a request
//! without a legal session cookie never reaches a handler, let alone the store.

use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use futures_util::future::{Either, Ready, ready};
use tower::{Layer, Service};

use super::cookie::SessionCookie;
use super::error::ApiError;
use crate::session::SessionToken;

/// The session tokens of a request: at least one, in the order presented.
#[derive(Clone, Debug)]
pub(super) struct Presented(Arc<[SessionToken]>);

impl Presented {
    pub(super) fn tokens(&self) -> &[SessionToken] {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for Presented {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let presented = parts.extensions.remove::<Self>();
        presented.ok_or(ApiError::NoValidSession)
    }
}

/// Puts the middleware in front of a route.
#[derive(Clone)]
pub(super) struct ReadSessionCookie(pub(super) Arc<SessionCookie>);

impl<S> Layer<S> for ReadSessionCookie {
    type Service = WithSessionCookie<S>;

    fn layer(&self, route: S) -> Self::Service {
        WithSessionCookie {
            cookie: Arc::clone(&self.0),
            route,
        }
    }
}

/// A route behind the middleware.
#[derive(Clone)]
pub(super) struct WithSessionCookie<S> {
    cookie: Arc<SessionCookie>,
    route: S,
}

impl<S: Service<Request, Response = Response>> Service<Request> for WithSessionCookie<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.route.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let tokens = self.cookie.values(request.headers());
        if tokens.is_empty() {
            return Either::Right(ready(Ok(ApiError::NoValidSession.into_response())));
        }
        request.extensions_mut().insert(Presented(tokens.into()));
        Either::Left(self.route.call(request))
    }
}
