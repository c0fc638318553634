//! A login: a new session, and the end of what it takes the place of.

use std::pin::pin;
use std::sync::Arc;

use super::super::audit::EndReason;
use super::super::{Label, Session, SessionId, SessionToken, Spared, StoreError, Ttl, User};
use super::{IssueError, SessionManager, in_time, told};
use crate::deadline::within;
use crate::task::to_the_end;

/// What a user logs in with.
#[derive(Debug)]
pub struct Login {
    /// Who it is.
    pub user: User,
    /// How long the session may live; without it as configured.
    pub ttl: Option<Ttl>,
    /// What the user is to know the session by.
    pub label: Option<Label>,
    /// What the browser had presented until now: all of it is over then.
    pub presented: Vec<SessionToken>,
    /// How many sessions of the user are to be live at most, the new one among them.
    pub keep: Option<usize>,
}

impl Login {
    /// Of this user, and nothing more.
    #[must_use]
    pub const fn of(user: User) -> Self {
        Self {
            user,
            ttl: None,
            label: None,
            presented: Vec::new(),
            keep: None,
        }
    }
}

/// What has come of a login.
#[derive(Debug)]
pub struct Issued {
    /// The secret, in nobody's hands but the caller's.
    pub token: SessionToken,
    /// Its session.
    pub session: Session,
    /// How many other sessions it has ended.
    pub ended: usize,
}

impl SessionManager {
    /// Issues a session, then ends what was presented, then those of the user that are too many.
    /// If any of that fails, the new session is removed as far as it can be; some of the others
    /// may be over by then, which is the safe side.
    ///
    /// Of logins that race, each judges by the sessions there are when its own is kept. So those
    /// that stay are the last, also of logins at once; a login may have ended the session of
    /// another before its token has been told.
    pub async fn issue(self: &Arc<Self>, login: Login) -> Result<Issued, IssueError> {
        let work = {
            let sessions = Arc::clone(self);
            async move { sessions.log_in(login).await }
        };
        let sessions = Arc::clone(self);
        let late = async move |outcome: Result<Issued, IssueError>| {
            if let Ok(issued) = outcome {
                sessions.take_back(issued.session.id).await;
            }
        };
        self.as_one_request(work, late).await
    }

    async fn log_in(self: &Arc<Self>, login: Login) -> Result<Issued, IssueError> {
        let token = SessionToken::generate()?;
        let at = self.moment();
        // A clock that was set back must not make a login one of those that are over.
        let created_at = at.now.max(at.sessions_since);
        let ttl = login.ttl.unwrap_or(self.lifetimes.session_ttl);
        let session = Session {
            id: SessionId::of(&token),
            user: login.user,
            created_at,
            last_seen_at: created_at,
            expires_at: created_at.plus(ttl.get()),
            label: login.label,
        };
        self.insert(session.clone()).await?;
        let replaced = self.end_replaced(&session.user, login.presented, login.keep);
        match replaced.await {
            Ok(ended) => {
                self.audit.issued(&session);
                Ok(Issued {
                    token,
                    session,
                    ended,
                })
            }
            Err(error) => {
                let (sessions, id) = (Arc::clone(self), session.id);
                let removing = async move { sessions.take_back(id).await };
                within(self.timeouts.call, pin!(to_the_end(removing, told))).await;
                Err(error.into())
            }
        }
    }

    async fn insert(self: &Arc<Self>, session: Session) -> Result<(), StoreError> {
        let (sessions, id, at) = (Arc::clone(self), session.id, self.moment());
        let insert = async move { sessions.store.insert(session, at).await };
        let sessions = Arc::clone(self);
        let late = async move |outcome: Result<(), StoreError>| {
            if outcome.is_ok() {
                sessions.take_back(id).await;
            }
        };
        in_time(within(self.timeouts.call, pin!(to_the_end(insert, late))).await)
    }

    async fn end_replaced(
        self: &Arc<Self>,
        user: &User,
        presented: Vec<SessionToken>,
        keep: Option<usize>,
    ) -> Result<usize, StoreError> {
        let mut ended = self.end_presented(presented, EndReason::Login).await?;
        if let Some(keep) = keep {
            let spared = Some(Spared::Last(keep));
            let user = user.clone();
            ended += self
                .end_of_user(user, spared, keep == 1, EndReason::Limit)
                .await?;
        }
        Ok(ended)
    }

    /// Removes a session of which nobody has been told the token.
    pub async fn take_back(&self, id: SessionId) {
        match self.store.delete(&id, self.moment()).await {
            Ok(_) => tracing::info!(session = %id, "session removed that nobody was told of"),
            Err(error) => {
                let class = error.class();
                let text = "session that nobody was told of not removed";
                tracing::warn!(session = %id, class, "{text}: {error}");
            }
        }
    }
}
