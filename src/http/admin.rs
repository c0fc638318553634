//! `/admin/*`: what login backends and operators do with sessions. Behind the bearer token.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Number;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::context::to_the_end;
use super::cookie::SessionCookie;
use super::error::{ApiError, Operation};
use crate::session::{Session, SessionId, SessionManager, Timestamp, User};

/// Lets only requests with the right bearer token through; with none configured, nobody.
pub(super) async fn require_token(
    State(token): State<Option<Arc<SecretString>>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let token = token.ok_or(ApiError::AdminTokenMissing)?;
    let header = request.headers().get(AUTHORIZATION);
    let given = header.and_then(|value| bearer_token(value.as_bytes()));
    // Digests are compared, so that not even the length shows in the time it takes.
    let digest = |secret: &[u8]| Sha256::digest(secret);
    let expected = digest(token.expose_secret().as_bytes());
    let right = given.is_some_and(|given| digest(given).ct_eq(&expected).into());
    if right {
        Ok(next.run(request).await)
    } else {
        Err(ApiError::AdminTokenWrong)
    }
}

/// RFC 9110: the scheme's name is case-insensitive and followed by spaces.
fn bearer_token(header: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = header.split_at_checked(6)?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer") && rest.starts_with(b" ");
    is_bearer.then(|| rest.trim_ascii())
}

/// `{"user":"42","ttlSeconds":3600}`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct IssueRequest {
    user: String,
    #[serde(default, deserialize_with = "whole_number")]
    ttl_seconds: Option<i64>,
}

/// The only answer that ever shows a token.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Issued {
    id: String,
    user: String,
    token: String,
    set_cookie: String,
    created_at: String,
    expires_at: String,
}

/// `POST /admin/sessions`: a new session for a user who has just logged in.
pub(super) async fn issue(
    State(sessions): State<Arc<SessionManager>>,
    State(cookie): State<Arc<SessionCookie>>,
    body: Result<Json<IssueRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<Issued>), ApiError> {
    let Json(request) = body?;
    let user = User::new(&request.user).map_err(|_| ApiError::BadUser)?;
    let ttl = request.ttl_seconds.map(legal_ttl).transpose()?;
    let (token, session) = to_the_end(async move { sessions.issue(user, ttl).await }).await?;
    let issued = Issued {
        id: session.id.to_string(),
        user: session.user.to_string(),
        token: token.expose().to_owned(),
        set_cookie: cookie.issued(&token, session.lifetime()),
        created_at: rfc3339(session.created_at),
        expires_at: rfc3339(session.expires_at),
    };
    Ok((StatusCode::CREATED, Json(issued)))
}

/// A number without a fraction, however it is written: `3600.0` is an integer to JSON Schema, and
/// what languages write that know no other numbers. Out of range becomes out of bounds.
fn whole_number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(from)? else {
        return Ok(None);
    };
    let as_text = |float: f64| {
        let is_whole = float.fract() == 0.0;
        is_whole.then(|| format!("{float:.0}"))
    };
    let text = match number.as_i64() {
        Some(integer) => return Ok(Some(integer)),
        None => number.as_f64().and_then(as_text),
    };
    let text = text.ok_or_else(|| D::Error::custom("not a whole number"))?;
    Ok(Some(text.parse().unwrap_or(i64::MAX)))
}

/// 1 second to 36500 days.
fn legal_ttl(seconds: i64) -> Result<Duration, ApiError> {
    let seconds = u64::try_from(seconds).map_err(|_| ApiError::BadTtl)?;
    let legal = (1..=36_500 * 24 * 60 * 60).contains(&seconds);
    legal
        .then(|| Duration::from_secs(seconds))
        .ok_or(ApiError::BadTtl)
}

/// A user's sessions.
#[derive(Serialize)]
pub(super) struct Listed {
    sessions: Vec<ListedSession>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedSession {
    id: String,
    user: String,
    created_at: String,
    last_seen_at: String,
    expires_at: String,
}

impl From<Session> for ListedSession {
    fn from(session: Session) -> Self {
        Self {
            id: session.id.to_string(),
            user: session.user.to_string(),
            created_at: rfc3339(session.created_at),
            last_seen_at: rfc3339(session.last_seen_at),
            expires_at: rfc3339(session.expires_at),
        }
    }
}

/// `GET /admin/users/{user}/sessions`: the user's live sessions, oldest first.
pub(super) async fn list(
    State(sessions): State<Arc<SessionManager>>,
    user: Result<Path<String>, PathRejection>,
) -> Result<Json<Listed>, ApiError> {
    let listed = sessions.list(&user_in_path(user)?).await;
    let listed = listed.map_err(ApiError::store(Operation::List))?;
    let sessions = listed.into_iter().map(ListedSession::from).collect();
    Ok(Json(Listed { sessions }))
}

/// How many sessions were ended.
#[derive(Serialize)]
pub(super) struct Revoked {
    revoked: usize,
}

/// `DELETE /admin/users/{user}/sessions`: logs a user out everywhere.
pub(super) async fn revoke_user(
    State(sessions): State<Arc<SessionManager>>,
    user: Result<Path<String>, PathRejection>,
) -> Result<Json<Revoked>, ApiError> {
    let user = user_in_path(user)?;
    let revoked = to_the_end(async move { sessions.revoke_user(&user).await })
        .await
        .map_err(ApiError::store(Operation::Revoke))?;
    Ok(Json(Revoked { revoked }))
}

fn user_in_path(user: Result<Path<String>, PathRejection>) -> Result<User, ApiError> {
    let Path(name) = user.map_err(|_| ApiError::BadUser)?;
    User::new(&name).map_err(|_| ApiError::BadUser)
}

/// `DELETE /admin/sessions/{id}`: ends one session; 404 if there is none.
pub(super) async fn revoke_session(
    State(sessions): State<Arc<SessionManager>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    let id = id
        .ok()
        .and_then(|Path(text)| text.parse::<SessionId>().ok());
    let id = id.ok_or(ApiError::NoSuchSession)?;
    let was_live = to_the_end(async move { sessions.revoke_id(&id).await })
        .await
        .map_err(ApiError::store(Operation::Revoke))?;
    was_live
        .then_some(StatusCode::NO_CONTENT)
        .ok_or(ApiError::NoSuchSession)
}

/// RFC 3339, UTC, to the millisecond.
fn rfc3339(moment: Timestamp) -> String {
    let nanos = i128::from(moment.as_millis()) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_default()
}
