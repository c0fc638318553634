//! `GET|HEAD /api/auth/check`: for reverse proxies, and for clients that ask "am I logged in"; and
//! the same for proxies that take 200 alone for a yes, `ANY /api/auth/ext-authz` (Envoy's HTTP
//! `ext_authz`, the Gateway API's `ExternalAuth`).

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::FutureExt as _;
use futures_util::future::{Either, ready};

use super::AppState;
use super::common::Prepared;
use super::error::{ApiError, Operation};
use super::middleware::{Answer, Presented};
use crate::session::Identity;

const REMOTE_USER: HeaderName = HeaderName::from_static("remote-user");
const REMOTE_SESSION: HeaderName = HeaderName::from_static("remote-session");
const REMOTE_AUTH_TIME: HeaderName = HeaderName::from_static("remote-auth-time");

/// The headers of every yes.
static YES: LazyLock<Prepared> =
    LazyLock::new(|| Prepared::with_names([REMOTE_USER, REMOTE_SESSION, REMOTE_AUTH_TIME]));

/// Says whose live session the request has, if it has one.
pub(super) fn get(app: &AppState, presented: Presented) -> Answer {
    answer(app, presented, |yes| {
        *yes.status_mut() = StatusCode::NO_CONTENT;
    })
}

/// Says it to whoever asks with any method, for any path.
pub(super) fn ext_authz(app: &AppState, presented: Presented) -> Answer {
    answer(app, presented, |yes| {
        let no_body = HeaderValue::from_static("0");
        yes.headers_mut().insert(CONTENT_LENGTH, no_body);
    })
}

fn answer(app: &AppState, presented: Presented, finish: fn(&mut Response)) -> Answer {
    let yes_or_no = move |checked: Result<_, _>| {
        let identity: Option<Identity> = checked.map_err(ApiError::store(Operation::Check))?;
        let mut yes = Response::new(Body::empty());
        *yes.headers_mut() = headers_of(&identity.ok_or(ApiError::NoValidSession)?)?;
        finish(&mut yes);
        Ok(yes)
    };
    match app.0.sessions.check(presented.into_tokens()) {
        Either::Left(checked) => Either::Left(ready(yes_or_no(checked.into_inner()))),
        Either::Right(checked) => Either::Right(Box::pin(checked.map(yes_or_no))),
    }
}

/// What the app behind the proxy is told. All of it with every yes: of what is missing here a
/// client's own would reach the app.
fn headers_of(identity: &Identity) -> Result<HeaderMap, ApiError> {
    let user = HeaderValue::try_from(identity.user.as_str());
    let id = HeaderValue::try_from(identity.id.hex(&mut [0; 64]));
    // Each login is a new session.
    let seconds = identity.logged_in_at.map_or(0, |at| at.as_millis() / 1000);
    // As a text, which a header keeps in one piece of memory; a number takes two.
    let auth_time = HeaderValue::try_from(seconds.to_string());
    // A user or an id is always legal in a header: `User` and `SessionId` see to it.
    let (Ok(user), Ok(id), Ok(auth_time)) = (user, id, auth_time) else {
        return Err(ApiError::Internal);
    };
    Ok(YES.with([user, id, auth_time]))
}
