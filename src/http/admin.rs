//! `/admin/*`: what login backends and operators do with sessions. Behind the bearer token.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::context::{done, logged_to_the_end};
use super::error::{ApiError, Operation};
use super::listed::{Listed, ListedSession, Revoked};
use crate::session::{SessionId, SessionManager, User};

/// Lists the live sessions of a user.
pub(super) async fn list(
    State(sessions): State<Arc<SessionManager>>,
    user: Result<Path<String>, PathRejection>,
) -> Result<Json<Listed<ListedSession>>, ApiError> {
    let listed = sessions.list(&user_in_path(user)?).await;
    let listed = listed.map_err(ApiError::store(Operation::List))?;
    Ok(Json(Listed::of(listed, ListedSession::from)))
}

/// Logs a user out everywhere.
pub(super) async fn revoke_user(
    State(sessions): State<Arc<SessionManager>>,
    user: Result<Path<String>, PathRejection>,
) -> Result<Json<Revoked>, ApiError> {
    let user = user_in_path(user)?;
    let work = async move {
        let revoked = sessions.revoke_user(user).await;
        revoked.map_err(ApiError::store(Operation::Revoke))
    };
    let revoked = logged_to_the_end(work, done).await?;
    Ok(Json(Revoked { revoked }))
}

fn user_in_path(user: Result<Path<String>, PathRejection>) -> Result<User, ApiError> {
    let Path(name) = user.map_err(|_| ApiError::BadUser)?;
    User::new(&name).map_err(|_| ApiError::BadUser)
}

/// Shows one session.
pub(super) async fn show(
    State(sessions): State<Arc<SessionManager>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<ListedSession>, ApiError> {
    let id = id_in_path(id).ok_or(ApiError::NoSuchSession)?;
    let found = sessions.find(id).await;
    let session = found
        .map_err(ApiError::store(Operation::List))?
        .ok_or(ApiError::NoSuchSession)?;
    Ok(Json(session.into()))
}

/// Ends one session.
pub(super) async fn revoke_session(
    State(sessions): State<Arc<SessionManager>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    let id = id_in_path(id).ok_or(ApiError::NoSuchSession)?;
    let work = async move {
        let was_live = sessions.revoke_id(id).await;
        was_live.map_err(ApiError::store(Operation::Revoke))
    };
    logged_to_the_end(work, done)
        .await?
        .then_some(StatusCode::NO_CONTENT)
        .ok_or(ApiError::NoSuchSession)
}

/// What is no such name names no session.
pub(super) fn id_in_path(id: Result<Path<String>, PathRejection>) -> Option<SessionId> {
    let Path(text) = id.ok()?;
    text.parse().ok()
}
