//! Every error answer of the service: its status, its sentence, its shape.
//!
//! One exhaustive match goes from what happened to what is answered. Causes are logged here,
//! once, and never leave the process: the sentences are fixed.

use std::borrow::Cow;
use std::error::Error;

use axum::extract::rejection::JsonRejection;
use axum::http::header::{CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::json::json;
use crate::session::{IssueError, OwnError, StoreError, StoreErrorKind};
use crate::task;

words! {
    /// What was being done when the store failed; decides what "failed" means to the client.
    pub(super) enum Operation {
        Logout = "logout",
        Check = "check",
        Issue = "issue",
        List = "list",
        Revoke = "revoke",
    }
}

/// Everything that can go wrong with a request.
#[derive(Debug)]
pub(super) enum ApiError {
    NoValidSession,
    OriginRefused,
    AdminTokenMissing,
    AdminTokenWrong,
    ReaderTokenOnly,
    NoSuchSession,
    SealNotSpared,
    NoSuchRoute,
    MethodNotAllowed,
    BadHost,
    ForeignHost,
    TargetTooLong,
    BadUser,
    BadTtl,
    BadBody(StatusCode),
    /// What is wrong with which field of a body.
    BadField(Cow<'static, str>, &'static str),
    TooSlow,
    NotHttp,
    HeadTooLarge,
    TooManyConnections,
    ShuttingDown,
    NotReady(StoreError),
    Store(Operation, StoreError),
    NoRandomness(getrandom::Error),
    /// A bug on this side, logged where it showed.
    Internal,
}

impl ApiError {
    /// An [`ApiError`] from a store's error, for `map_err`.
    pub(super) fn store(operation: Operation) -> impl Fn(StoreError) -> Self {
        move |error| Self::Store(operation, error)
    }

    /// That this is wrong with this field of a body.
    pub(super) fn bad_field(name: impl Into<Cow<'static, str>>, problem: &'static str) -> Self {
        Self::BadField(name.into(), problem)
    }

    /// The status and the fixed sentence.
    pub(super) fn answer(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NoValidSession => (StatusCode::UNAUTHORIZED, "No valid session"),
            Self::OriginRefused => (
                StatusCode::FORBIDDEN,
                "Cross-origin request refused: its origin is not in allowed-origins",
            ),
            Self::AdminTokenMissing => (
                StatusCode::FORBIDDEN,
                "The admin API is off: no admin-token is set",
            ),
            Self::AdminTokenWrong => (StatusCode::UNAUTHORIZED, "A valid admin token is needed"),
            Self::ReaderTokenOnly => (
                StatusCode::FORBIDDEN,
                "A reader token is for GET alone; an admin token is needed",
            ),
            Self::NoSuchSession => (StatusCode::NOT_FOUND, "No such session"),
            Self::SealNotSpared => (
                StatusCode::CONFLICT,
                "You are logged in by a sealed session, which would end with the others: end all instead",
            ),
            Self::NoSuchRoute => (StatusCode::NOT_FOUND, "No such route"),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "This route does not answer this method",
            ),
            Self::BadHost => (StatusCode::BAD_REQUEST, "Exactly one Host header is needed"),
            Self::ForeignHost => (
                StatusCode::FORBIDDEN,
                "This listener answers only to localhost, 127.0.0.1 and [::1]",
            ),
            Self::TargetTooLong => (StatusCode::URI_TOO_LONG, "The request target is too long"),
            Self::BadUser => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "A user is 1 to 256 bytes of printable ASCII without leading or trailing space",
            ),
            Self::BadTtl => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "ttlSeconds must be from 1 to 3153600000",
            ),
            Self::BadBody(status) => (*status, sentence_for_body(*status)),
            Self::BadField(_field, problem) => (StatusCode::UNPROCESSABLE_ENTITY, problem),
            Self::TooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "The request was not complete in time",
            ),
            Self::NotHttp => (StatusCode::BAD_REQUEST, "The request is not valid HTTP"),
            Self::HeadTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "The request's head is too large",
            ),
            Self::TooManyConnections => (StatusCode::SERVICE_UNAVAILABLE, "Too many connections"),
            Self::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, "Shutting down"),
            Self::NotReady(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The session store is unavailable",
            ),
            Self::Store(operation, error) => store_answer(*operation, error.kind()),
            Self::NoRandomness(_) | Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "Internal error")
            }
        }
    }

    /// The sentence, and before it the field that it is about.
    pub(super) fn message(&self) -> Cow<'static, str> {
        let (_, sentence) = self.answer();
        match self {
            Self::BadField(field, _) => format!("{field}: {sentence}").into(),
            _ => sentence.into(),
        }
    }

    /// The header that goes with it, beside those of every answer.
    pub(super) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let (name, value) = match self {
            // Schemes that make no browser ask for a password.
            Self::NoValidSession => (WWW_AUTHENTICATE, "Cookie"),
            Self::AdminTokenWrong => (WWW_AUTHENTICATE, "Bearer"),
            // What is left of the request would be taken for the next one.
            Self::TooSlow | Self::BadHost => (CONNECTION, "close"),
            _ if self.answer().0 == StatusCode::SERVICE_UNAVAILABLE => (RETRY_AFTER, "1"),
            _ => return None,
        };
        Some((name, HeaderValue::from_static(value)))
    }

    /// Logs what is this side's fault, and what only its operator can mend.
    fn log(&self) {
        match self {
            Self::Store(operation, error) => {
                self.log_fault(operation.word(), error.class(), error);
            }
            Self::NotReady(error) => self.log_fault("ready", error.class(), error),
            Self::NoRandomness(error) => self.log_fault("issue", "internal", error),
            Self::AdminTokenMissing
            | Self::AdminTokenWrong
            | Self::ReaderTokenOnly
            | Self::ForeignHost => self.log_refusal(),
            _ => {}
        }
    }

    fn log_fault(&self, operation: &'static str, class: &'static str, cause: &dyn Error) {
        let (status, sentence) = self.answer();
        let status = status.as_u16();
        task::rate_limit(operation, class).note(|| {
            let cause = chain(cause);
            move |times| tracing::error!(status, operation, class, times, cause, "{sentence}")
        });
    }

    fn log_refusal(&self) {
        let (status, sentence) = self.answer();
        let status = status.as_u16();
        task::rate_limit("admin", sentence).note(|| {
            let peer = task::peer().map(|peer| peer.to_string());
            let peer = peer.unwrap_or_default();
            move |times| tracing::warn!(status, peer, times, "{sentence}")
        });
    }
}

fn store_answer(operation: Operation, kind: StoreErrorKind) -> (StatusCode, &'static str) {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    let internal = StatusCode::INTERNAL_SERVER_ERROR;
    match (operation, kind) {
        (Operation::Logout, _) => (internal, "Session could not be cleared"),
        (Operation::Revoke, _) => (internal, "Sessions could not be revoked"),
        (Operation::Issue, StoreErrorKind::Full) => (unavailable, "The session store is full"),
        (Operation::Issue, StoreErrorKind::Unconfirmed) => {
            (internal, "The session could not be confirmed")
        }
        (Operation::Check | Operation::List | Operation::Issue, _) => {
            (unavailable, "The session store is unavailable")
        }
    }
}

fn sentence_for_body(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "The body must be application/json",
        StatusCode::PAYLOAD_TOO_LARGE => "The body is too large",
        StatusCode::UNPROCESSABLE_ENTITY => "The body is not of the documented shape",
        _ => "The body is not valid JSON",
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The JSON body of every error: the envelope.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    status_code: u16,
    status_message: &'static str,
    data: EnvelopeData,
}

#[derive(Serialize)]
struct EnvelopeData {
    message: Cow<'static, str>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, _) = self.answer();
        self.log();
        let envelope = Envelope {
            status_code: status.as_u16(),
            status_message: status.canonical_reason().unwrap_or_default(),
            data: EnvelopeData {
                message: self.message(),
            },
        };
        // Texts always have a JSON form.
        let envelope = serde_json::to_string(&envelope).unwrap_or_default();
        json(status, self.header(), envelope)
    }
}

impl From<IssueError> for ApiError {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Store(error) => Self::Store(Operation::Issue, error),
            IssueError::Random(error) => Self::NoRandomness(error),
        }
    }
}

impl From<OwnError> for ApiError {
    fn from(error: OwnError) -> Self {
        match error {
            OwnError::NotLoggedIn => Self::NoValidSession,
            OwnError::NoSuchSession => Self::NoSuchSession,
            OwnError::Sealed => Self::SealNotSpared,
            OwnError::Store(error) => Self::Store(Operation::Revoke, error),
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        Self::BadBody(rejection.status())
    }
}
