//! `POST /api/auth/logout`: the main job.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{HeaderName, SET_COOKIE};

use super::context::to_the_end;
use super::cookie::SessionCookie;
use super::error::{ApiError, Operation};
use super::middleware::Presented;
use crate::session::SessionManager;

/// Ends every session presented. 200 `true` if any was live, 200 `false` if none was, both with
/// the clearing cookie; 500 without it if one could not be confirmed, so that the client keeps
/// the cookie and can try again.
pub(super) async fn post(
    State(sessions): State<Arc<SessionManager>>,
    State(cookie): State<Arc<SessionCookie>>,
    presented: Presented,
) -> Result<([(HeaderName, HeaderValue); 1], Json<bool>), ApiError> {
    let ended = to_the_end(async move { sessions.revoke(presented.tokens()).await })
        .await
        .map_err(ApiError::store(Operation::Logout))?;
    Ok(([(SET_COOKIE, cookie.clearing())], Json(ended)))
}
