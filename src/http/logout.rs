//! `POST /api/auth/logout`, the main job, and the web app's own sign-out beside it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::Response;
use futures_util::future::Either;

use super::context::{done, logged_to_the_end};
use super::cookie::SessionCookie;
use super::error::{ApiError, Operation};
use super::json::json;
use super::middleware::Presented;
use crate::metrics::{LogoutOutcome, Metrics};
use crate::session::{SessionManager, StoreError};

/// An answer that makes the client forget its cookie.
fn cleared(cookie: &SessionCookie, body: &'static str) -> Response {
    json(StatusCode::OK, Some((SET_COOKIE, cookie.clearing())), body)
}

/// Ends every session presented, and says whether any was live.
pub(super) async fn post(
    State(sessions): State<Arc<SessionManager>>,
    State(cookie): State<Arc<SessionCookie>>,
    State(metrics): State<Arc<Metrics>>,
    presented: Presented,
) -> Result<Response, ApiError> {
    let ended = end(sessions, metrics, Some(presented)).await?;
    Ok(cleared(&cookie, if ended { "true" } else { "false" }))
}

/// The web app's own sign-out: whoever has no session is logged out as well.
pub(super) async fn sign_out(
    State(sessions): State<Arc<SessionManager>>,
    State(cookie): State<Arc<SessionCookie>>,
    State(metrics): State<Arc<Metrics>>,
    presented: Option<Presented>,
) -> Result<Response, ApiError> {
    end(sessions, metrics, presented).await?;
    Ok(cleared(&cookie, r#"{"loggedOut":true}"#))
}

async fn end(
    sessions: Arc<SessionManager>,
    metrics: Arc<Metrics>,
    presented: Option<Presented>,
) -> Result<bool, ApiError> {
    let tokens = presented.map(Presented::into_tokens).unwrap_or_default();
    let counted = move |ended: Result<bool, StoreError>| {
        let ended = ended.map_err(ApiError::store(Operation::Logout))?;
        metrics.logout(if ended {
            LogoutOutcome::Cleared
        } else {
            LogoutOutcome::NoSession
        });
        Ok(ended)
    };
    match sessions.revoke(tokens) {
        // Nothing to be abandoned.
        Either::Left(ended) => counted(ended.into_inner()),
        Either::Right(ended) => logged_to_the_end(async move { counted(ended.await) }, done).await,
    }
}
