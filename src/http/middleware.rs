//! The cookie-extracting middleware: what stands in front of every route that is about a session.
//!
//! It leaves the request's session tokens in the request, or answers 401, so that a request
//! without a legal session cookie never reaches a handler, let alone the store.

use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::{FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use futures_util::future::{Either, Ready, ready};
use tower::{Layer, Service};

use super::cookie::SessionCookie;
use super::error::ApiError;
use crate::session::SessionToken;

/// The session tokens of a request, in the order presented.
#[derive(Clone, Debug)]
pub(super) struct Presented(Vec<SessionToken>);

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

/// What a route takes for a session presented, and whether it needs one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The cookie; 401 without.
    Cookie,
    /// The cookie, or the header that h3 reads seals from before it; 401 without.
    CookieOrHeader,
    /// The cookie, should there be one.
    CookieIfAny,
}

/// Puts the middleware in front of a route.
#[derive(Clone)]
pub(super) struct ReadSessionCookie {
    cookie: Arc<SessionCookie>,
    wanted: Wanted,
}

impl ReadSessionCookie {
    pub(super) fn new(cookie: &Arc<SessionCookie>, wanted: Wanted) -> Self {
        Self {
            cookie: Arc::clone(cookie),
            wanted,
        }
    }

    fn presented(&self, headers: &HeaderMap) -> Vec<SessionToken> {
        let mut tokens = self.cookie.values(headers);
        if self.wanted == Wanted::CookieOrHeader {
            tokens.extend(self.cookie.seals_in_header(headers));
        }
        tokens
    }
}

impl<S> Layer<S> for ReadSessionCookie {
    type Service = WithSessionCookie<S>;

    fn layer(&self, route: S) -> Self::Service {
        WithSessionCookie {
            reader: self.clone(),
            route,
        }
    }
}

/// A route behind the middleware.
#[derive(Clone)]
pub(super) struct WithSessionCookie<S> {
    reader: ReadSessionCookie,
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
        let tokens = self.reader.presented(request.headers());
        if tokens.is_empty() && self.reader.wanted != Wanted::CookieIfAny {
            return Either::Right(ready(Ok(ApiError::NoValidSession.into_response())));
        }
        request.extensions_mut().insert(Presented(tokens));
        Either::Left(self.route.call(request))
    }
}
