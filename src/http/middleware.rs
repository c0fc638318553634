//! The cookie-extracting middleware: what stands in front of the public routes.
//!
//! A route that needs a session token says so by naming [`Presented`] among its handler's
//! arguments: whoever presents none is answered 401, and reaches no handler, let alone the store.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Response;
use futures_util::future::{BoxFuture, Either, Ready};

use super::cookie::{SessionCookie, Tokens};
use super::error::ApiError;

/// The session tokens of a request, in the order presented: at least one.
#[derive(Clone, Debug)]
pub(super) struct Presented(Tokens);

impl Presented {
    /// What a request with these headers presents, if anything.
    pub(super) fn of(cookie: &SessionCookie, headers: &HeaderMap) -> Option<Self> {
        let tokens = cookie.presented(headers);
        (!tokens.is_empty()).then_some(Self(tokens))
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

/// What a handler answers: known at once, or only once it was waited for.
pub(super) type Answer = Either<Ready<Answered>, BoxFuture<'static, Answered>>;

type Answered = Result<Response, ApiError>;
