//! `GET|HEAD /api/auth/check`: for reverse proxies, and for clients that ask "am I logged in".

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::error::{ApiError, Operation};
use super::middleware::Presented;
use crate::session::SessionManager;

const REMOTE_USER: HeaderName = HeaderName::from_static("remote-user");
const REMOTE_SESSION: HeaderName = HeaderName::from_static("remote-session");

/// Says whose live session the request has, if it has one.
pub(super) async fn get(
    State(sessions): State<Arc<SessionManager>>,
    presented: Presented,
) -> Result<Response, ApiError> {
    let checked = sessions.check(presented.tokens()).await;
    let identity = checked
        .map_err(ApiError::store(Operation::Check))?
        .ok_or(ApiError::NoValidSession)?;
    let user = HeaderValue::try_from(identity.user.as_str());
    let id = HeaderValue::try_from(identity.id.to_hex());
    // A user or an id is always legal in a header: `User` and `SessionId` see to it.
    let (Ok(user), Ok(id)) = (user, id) else {
        return Err(ApiError::Internal);
    };
    let headers = [(REMOTE_USER, user), (REMOTE_SESSION, id)];
    Ok((StatusCode::NO_CONTENT, headers).into_response())
}
