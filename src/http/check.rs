//! `GET|HEAD /api/auth/check`: for reverse proxies, and for clients that ask "am I logged in"; and
//! the same for proxies that take 200 alone for a yes, `ANY /api/auth/ext-authz` (Envoy's HTTP
//! `ext_authz`, the Gateway API's `ExternalAuth`).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;

use super::error::{ApiError, Operation};
use super::json::ROOM;
use super::middleware::Presented;
use crate::session::{Identity, SessionManager};

const REMOTE_USER: HeaderName = HeaderName::from_static("remote-user");
const REMOTE_SESSION: HeaderName = HeaderName::from_static("remote-session");
const REMOTE_AUTH_TIME: HeaderName = HeaderName::from_static("remote-auth-time");

/// Says whose live session the request has, if it has one.
pub(super) async fn get(
    State(sessions): State<Arc<SessionManager>>,
    presented: Presented,
) -> Result<Response, ApiError> {
    let mut yes = yes_or_no(&sessions, &presented).await?;
    *yes.status_mut() = StatusCode::NO_CONTENT;
    Ok(yes)
}

/// Says it to whoever asks with any method, for any path.
pub(super) async fn ext_authz(
    State(sessions): State<Arc<SessionManager>>,
    presented: Presented,
) -> Result<Response, ApiError> {
    let mut yes = yes_or_no(&sessions, &presented).await?;
    let no_body = HeaderValue::from_static("0");
    yes.headers_mut().insert(CONTENT_LENGTH, no_body);
    Ok(yes)
}

async fn yes_or_no(sessions: &SessionManager, presented: &Presented) -> Result<Response, ApiError> {
    let checked = sessions.check(presented.tokens()).await;
    let identity = checked
        .map_err(ApiError::store(Operation::Check))?
        .ok_or(ApiError::NoValidSession)?;
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = headers_of(&identity)?;
    Ok(response)
}

/// What the app behind the proxy is told. All of it with every yes: of what is missing here a
/// client's own would reach the app.
fn headers_of(identity: &Identity) -> Result<HeaderMap, ApiError> {
    let user = HeaderValue::try_from(identity.user.as_str());
    let id = HeaderValue::try_from(identity.id.hex(&mut [0; 64]));
    // A user or an id is always legal in a header: `User` and `SessionId` see to it.
    let (Ok(user), Ok(id)) = (user, id) else {
        return Err(ApiError::Internal);
    };
    // Each login is a new session.
    let seconds = identity.logged_in_at.map_or(0, |at| at.as_millis() / 1000);
    let mut headers = HeaderMap::with_capacity(ROOM);
    headers.insert(REMOTE_USER, user);
    headers.insert(REMOTE_SESSION, id);
    headers.insert(REMOTE_AUTH_TIME, seconds.into());
    Ok(headers)
}
