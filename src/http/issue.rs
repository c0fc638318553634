//! `POST /admin/sessions`: a login backend asks for a session.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

use super::context::logged_to_the_end;
use super::cookie::SessionCookie;
use super::error::ApiError;
use super::fields::Fields;
use crate::session::{Issued, Label, Login, SessionManager, Ttl, User};

/// Longest `Cookie` header that a backend may hand on, in bytes: as much as a head can hold.
const MAX_COOKIE_BYTES: usize = 16 * 1024;

/// The most that `keep` may be.
const MAX_KEPT: i64 = 100;

/// What can be wrong with a field here.
pub(super) const NOT_IN_A_URL: &str = "must not be . or .., which no URL can name";
pub(super) const TOO_LONG: &str = "must be at most 16 KiB long";
pub(super) const NOT_A_COUNT: &str = "must be from 1 to 100";
pub(super) const NO_LABEL: &str = "must be 1 to 128 bytes without control characters";

/// Who has logged in, and how.
struct IssueRequest {
    login: Login,
    is_persistent: bool,
}

impl IssueRequest {
    fn of(body: &RawValue, cookie: &SessionCookie) -> Result<Self, ApiError> {
        let known = [
            "user",
            "ttlSeconds",
            "cookie",
            "keep",
            "persistent",
            "label",
        ];
        let fields = Fields::of(body, &known)?;
        let login = Login {
            user: legal_user(&fields.text("user")?)?,
            ttl: fields
                .whole_number("ttlSeconds")?
                .map(legal_ttl)
                .transpose()?,
            label: fields
                .optional_text("label")?
                .map(|text| Label::new(&text).map_err(|_| ApiError::bad_field("label", NO_LABEL)))
                .transpose()?,
            presented: match fields.optional_text("cookie")? {
                Some(header) if header.len() > MAX_COOKIE_BYTES => {
                    return Err(ApiError::bad_field("cookie", TOO_LONG));
                }
                Some(header) => cookie.values_in(header.as_bytes()).into_vec(),
                None => Vec::new(),
            },
            keep: fields.whole_number("keep")?.map(legal_keep).transpose()?,
        };
        Ok(Self {
            login,
            is_persistent: fields.flag("persistent")?.unwrap_or(true),
        })
    }
}

/// A user whose sessions can be listed: `.` and `..` are steps in a path.
fn legal_user(name: &str) -> Result<User, ApiError> {
    if matches!(name, "." | "..") {
        return Err(ApiError::bad_field("user", NOT_IN_A_URL));
    }
    User::new(name).map_err(|_| ApiError::BadUser)
}

fn legal_ttl(seconds: i64) -> Result<Ttl, ApiError> {
    let seconds = u64::try_from(seconds).map_err(|_| ApiError::BadTtl)?;
    Ttl::try_from(Duration::from_secs(seconds)).map_err(|_| ApiError::BadTtl)
}

fn legal_keep(count: i64) -> Result<usize, ApiError> {
    let legal = (1..=MAX_KEPT).contains(&count).then_some(count);
    legal
        .and_then(|count| usize::try_from(count).ok())
        .ok_or_else(|| ApiError::bad_field("keep", NOT_A_COUNT))
}

/// The only answer that ever shows a token.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IssueAnswer {
    id: String,
    user: String,
    token: String,
    set_cookie: String,
    created_at: String,
    expires_at: String,
    ended: usize,
}

/// Issues a session to a user who has just logged in.
pub(super) async fn post(
    State(sessions): State<Arc<SessionManager>>,
    State(cookie): State<Arc<SessionCookie>>,
    body: Result<Json<Box<RawValue>>, JsonRejection>,
) -> Result<(StatusCode, Json<IssueAnswer>), ApiError> {
    let Json(body) = body?;
    let IssueRequest {
        login,
        is_persistent,
    } = IssueRequest::of(&body, &cookie)?;
    let unheard = {
        let sessions = Arc::clone(&sessions);
        async move |issued: Issued| sessions.take_back(issued.session.id).await
    };
    let work = async move { Ok(sessions.issue(login).await?) };
    let Issued {
        token,
        session,
        ended,
    } = logged_to_the_end(work, unheard).await?;
    let lifetime = is_persistent.then(|| session.lifetime());
    let answer = IssueAnswer {
        id: session.id.to_string(),
        user: session.user.to_string(),
        token: token.expose().to_owned(),
        set_cookie: cookie.issued(&token, lifetime),
        created_at: session.created_at.to_string(),
        expires_at: session.expires_at.to_string(),
        ended,
    };
    Ok((StatusCode::CREATED, Json(answer)))
}
