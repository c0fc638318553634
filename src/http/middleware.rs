//! The cookie-extracting middleware: what stands in front of the public routes.
//!
//! It leaves the session tokens of a request in the request. A route that needs one says so by
//! naming [`Presented`] among its handler's arguments: whoever presents none is answered 401, and
//! reaches no handler, let alone the store.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::{FromRequestParts, OptionalFromRequestParts, Request};
use axum::http::request::Parts;
use tower::Service;

use super::cookie::{SessionCookie, Tokens};
use super::error::ApiError;
use crate::session::SessionToken;

/// The session tokens of a request, in the order presented: at least one.
#[derive(Clone, Debug)]
pub(super) struct Presented(Tokens);

impl Presented {
    pub(super) fn tokens(&self) -> &[SessionToken] {
        &self.0
    }

    pub(super) fn into_tokens(self) -> Tokens {
        self.0
    }
}

impl<S: Sync> FromRequestParts<S> for Presented {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let presented = parts.extensions.remove::<Self>();
        presented.ok_or(ApiError::NoValidSession)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Presented {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> Result<Option<Self>, Self::Rejection> {
        Ok(parts.extensions.remove::<Self>())
    }
}

/// Routes behind the middleware. Around all of them and not a layer of each, because axum boxes
/// and clones what a layer of a route makes, for every request.
#[derive(Clone)]
pub(super) struct ReadSessionCookie<S> {
    cookie: Arc<SessionCookie>,
    routes: S,
}

impl<S> ReadSessionCookie<S> {
    pub(super) fn before(routes: S, cookie: &Arc<SessionCookie>) -> Self {
        Self {
            cookie: Arc::clone(cookie),
            routes,
        }
    }
}

impl<S: Service<Request>> Service<Request> for ReadSessionCookie<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.routes.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> S::Future {
        let tokens = self.cookie.presented(request.headers());
        if !tokens.is_empty() {
            request.extensions_mut().insert(Presented(tokens));
        }
        self.routes.call(request)
    }
}
