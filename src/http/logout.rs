//! `POST /api/auth/logout`, the main job, and the web app's own sign-out beside it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{HeaderName, SET_COOKIE};
use serde::Serialize;

use super::context::to_the_end;
use super::cookie::SessionCookie;
use super::error::{ApiError, Operation};
use super::middleware::Presented;
use crate::metrics::{LogoutOutcome, Metrics};
use crate::session::SessionManager;

/// An answer that makes the client forget its cookie.
type Cleared<T> = ([(HeaderName, HeaderValue); 1], Json<T>);

/// Ends every session presented. 200 `true` if any was live, 200 `false` if none was, both with
/// the clearing cookie; 500 without it if one could not be confirmed, so that the client keeps
/// the cookie and can try again.
pub(super) async fn post(
    State(sessions): State<Arc<SessionManager>>,
    State(cookie): State<Arc<SessionCookie>>,
    State(metrics): State<Arc<Metrics>>,
    presented: Presented,
) -> Result<Cleared<bool>, ApiError> {
    let ended = end(sessions, metrics, presented).await?;
    Ok(([(SET_COOKIE, cookie.clearing())], Json(ended)))
}

/// `{"loggedOut":true}`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SignedOut {
    logged_out: bool,
}

/// `DELETE /api/_auth/session`, which the web app's sign-out button calls: like logout, but
/// whoever has no session is logged out as well.
pub(super) async fn sign_out(
    State(sessions): State<Arc<SessionManager>>,
    State(cookie): State<Arc<SessionCookie>>,
    State(metrics): State<Arc<Metrics>>,
    presented: Presented,
) -> Result<Cleared<SignedOut>, ApiError> {
    end(sessions, metrics, presented).await?;
    let signed_out = SignedOut { logged_out: true };
    Ok(([(SET_COOKIE, cookie.clearing())], Json(signed_out)))
}

async fn end(
    sessions: Arc<SessionManager>,
    metrics: Arc<Metrics>,
    presented: Presented,
) -> Result<bool, ApiError> {
    let work = async move {
        let ended = sessions.revoke(presented.tokens()).await?;
        metrics.logout(if ended {
            LogoutOutcome::Cleared
        } else {
            LogoutOutcome::NoSession
        });
        Ok(ended)
    };
    to_the_end(work)
        .await
        .map_err(ApiError::store(Operation::Logout))
}
