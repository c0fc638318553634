//! `/api/auth/sessions`: people see and end their own sessions.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse as _, Response};

use super::admin::id_in_path;
use super::context::{done, logged_to_the_end};
use super::cookie::SessionCookie;
use super::error::{ApiError, Operation};
use super::listed::{Listed, OwnSession, Revoked};
use super::middleware::Presented;
use crate::session::{SessionId, SessionManager};

/// Lists the sessions of the user whose live session the request has.
pub(super) async fn list(
    State(sessions): State<Arc<SessionManager>>,
    presented: Presented,
) -> Result<Json<Listed<OwnSession>>, ApiError> {
    let unavailable = ApiError::store(Operation::List);
    let tokens = presented.into_tokens();
    let identity = sessions.check(tokens.clone()).await;
    let identity = identity
        .map_err(&unavailable)?
        .ok_or(ApiError::NoValidSession)?;
    let list = sessions.list(&identity.user).await.map_err(unavailable)?;
    let presented: Vec<SessionId> = tokens.iter().map(SessionId::of).collect();
    let listed = Listed::of(list, |session| {
        let is_presented = presented.contains(&session.id);
        OwnSession::of(session, is_presented)
    });
    Ok(Json(listed))
}

/// Ends one of them.
pub(super) async fn end(
    State(sessions): State<Arc<SessionManager>>,
    State(cookie): State<Arc<SessionCookie>>,
    id: Result<Path<String>, PathRejection>,
    presented: Presented,
) -> Result<Response, ApiError> {
    let id = id_in_path(id);
    let tokens = presented.into_tokens().into_vec();
    let work = async move { Ok(sessions.end_own(tokens, id).await?) };
    let was_presented = logged_to_the_end(work, done).await?;
    Ok(if was_presented {
        (StatusCode::NO_CONTENT, [(SET_COOKIE, cookie.clearing())]).into_response()
    } else {
        StatusCode::NO_CONTENT.into_response()
    })
}

/// Ends all of them but those presented.
pub(super) async fn end_others(
    State(sessions): State<Arc<SessionManager>>,
    presented: Presented,
) -> Result<Json<Revoked>, ApiError> {
    let tokens = presented.into_tokens().into_vec();
    let work = async move { Ok(sessions.end_others(tokens).await?) };
    let revoked = logged_to_the_end(work, done).await?;
    Ok(Json(Revoked { revoked }))
}

/// Ends all of them.
pub(super) async fn end_all(
    State(sessions): State<Arc<SessionManager>>,
    State(cookie): State<Arc<SessionCookie>>,
    presented: Presented,
) -> Result<Response, ApiError> {
    let tokens = presented.into_tokens().into_vec();
    let work = async move { Ok(sessions.end_all_own(tokens).await?) };
    let revoked = logged_to_the_end(work, done).await?;
    let clearing = [(SET_COOKIE, cookie.clearing())];
    Ok((clearing, Json(Revoked { revoked })).into_response())
}
