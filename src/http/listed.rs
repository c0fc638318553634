//! Sessions as JSON: to operators, and to the user whose sessions they are.

use serde::Serialize;

use crate::session::{Session, SessionList};

/// A user's sessions.
#[derive(Serialize)]
pub(super) struct Listed<S> {
    sessions: Vec<S>,
    truncated: bool,
}

impl<S> Listed<S> {
    /// Those of the list, each in this form.
    pub(super) fn of(list: SessionList, form: impl FnMut(Session) -> S) -> Self {
        Self {
            sessions: list.sessions.into_iter().map(form).collect(),
            truncated: list.truncated,
        }
    }
}

/// A live session as operators see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListedSession {
    id: String,
    user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    created_at: String,
    last_seen_at: String,
    expires_at: String,
}

impl From<Session> for ListedSession {
    fn from(session: Session) -> Self {
        Self {
            id: session.id.to_string(),
            user: session.user.to_string(),
            label: session.label.map(|label| label.as_str().to_owned()),
            created_at: session.created_at.to_string(),
            last_seen_at: session.last_seen_at.to_string(),
            expires_at: session.expires_at.to_string(),
        }
    }
}

/// A live session as its user sees it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OwnSession {
    id: String,
    label: Option<String>,
    created_at: String,
    last_seen_at: String,
    expires_at: String,
    current: bool,
}

impl OwnSession {
    /// The session, which the request has presented or has not.
    pub(super) fn of(session: Session, is_presented: bool) -> Self {
        let session = ListedSession::from(session);
        Self {
            id: session.id,
            label: session.label,
            created_at: session.created_at,
            last_seen_at: session.last_seen_at,
            expires_at: session.expires_at,
            current: is_presented,
        }
    }
}

/// How many sessions were ended.
#[derive(Serialize)]
pub(super) struct Revoked {
    pub(super) revoked: usize,
}
