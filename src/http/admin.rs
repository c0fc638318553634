//! `/admin/*`: what login backends and operators do with sessions. Behind the bearer token.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

use super::context::{done, logged_to_the_end};
use super::cookie::SessionCookie;
use super::error::{ApiError, Operation};
use super::fields::Fields;
use crate::session::{Session, SessionId, SessionManager, SessionToken, Ttl, User};

/// Who has logged in.
pub(super) struct IssueRequest {
    user: String,
    ttl_seconds: Option<i64>,
}

impl IssueRequest {
    fn of(body: &RawValue) -> Result<Self, ApiError> {
        let fields = Fields::of(body, &["user", "ttlSeconds"])?;
        Ok(Self {
            user: fields.text("user")?,
            ttl_seconds: fields.whole_number("ttlSeconds")?,
        })
    }

    fn user(&self) -> Result<User, ApiError> {
        if matches!(&*self.user, "." | "..") {
            return Err(ApiError::bad_field("user", NOT_IN_A_URL));
        }
        User::new(&self.user).map_err(|_| ApiError::BadUser)
    }
}

/// What is wrong with a user whose sessions could not be listed: `.` and `..` are steps in a path.
pub(super) const NOT_IN_A_URL: &str = "must not be . or .., which no URL can name";

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

/// Issues a session to a user who has just logged in.
pub(super) async fn issue(
    State(sessions): State<Arc<SessionManager>>,
    State(cookie): State<Arc<SessionCookie>>,
    body: Result<Json<Box<RawValue>>, JsonRejection>,
) -> Result<(StatusCode, Json<Issued>), ApiError> {
    let Json(body) = body?;
    let request = IssueRequest::of(&body)?;
    let user = request.user()?;
    let ttl = request.ttl_seconds.map(legal_ttl).transpose()?;
    let unheard = {
        let sessions = Arc::clone(&sessions);
        async move |(_token, session): (SessionToken, Session)| sessions.take_back(session.id).await
    };
    let work = async move { Ok(sessions.issue(user, ttl).await?) };
    let (token, session) = logged_to_the_end(work, unheard).await?;
    let issued = Issued {
        id: session.id.to_string(),
        user: session.user.to_string(),
        token: token.expose().to_owned(),
        set_cookie: cookie.issued(&token, session.lifetime()),
        created_at: session.created_at.to_string(),
        expires_at: session.expires_at.to_string(),
    };
    Ok((StatusCode::CREATED, Json(issued)))
}

fn legal_ttl(seconds: i64) -> Result<Ttl, ApiError> {
    let seconds = u64::try_from(seconds).map_err(|_| ApiError::BadTtl)?;
    Ttl::try_from(Duration::from_secs(seconds)).map_err(|_| ApiError::BadTtl)
}

#[derive(Serialize)]
pub(super) struct Listed {
    sessions: Vec<ListedSession>,
    truncated: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListedSession {
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
            created_at: session.created_at.to_string(),
            last_seen_at: session.last_seen_at.to_string(),
            expires_at: session.expires_at.to_string(),
        }
    }
}

/// Lists the live sessions of a user.
pub(super) async fn list(
    State(sessions): State<Arc<SessionManager>>,
    user: Result<Path<String>, PathRejection>,
) -> Result<Json<Listed>, ApiError> {
    let listed = sessions.list(&user_in_path(user)?).await;
    let listed = listed.map_err(ApiError::store(Operation::List))?;
    let truncated = listed.truncated;
    let sessions = listed.sessions.into_iter().map(ListedSession::from);
    let sessions = sessions.collect();
    Ok(Json(Listed {
        sessions,
        truncated,
    }))
}

#[derive(Serialize)]
pub(super) struct Revoked {
    revoked: usize,
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

/// Ends one session.
pub(super) async fn revoke_session(
    State(sessions): State<Arc<SessionManager>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    let id = id
        .ok()
        .and_then(|Path(text)| text.parse::<SessionId>().ok());
    let id = id.ok_or(ApiError::NoSuchSession)?;
    let work = async move {
        let was_live = sessions.revoke_id(id).await;
        was_live.map_err(ApiError::store(Operation::Revoke))
    };
    logged_to_the_end(work, done)
        .await?
        .then_some(StatusCode::NO_CONTENT)
        .ok_or(ApiError::NoSuchSession)
}
