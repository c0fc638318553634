//! Sessions as the rest of the service speaks of them: issue, check, revoke, list.
//!
//! The manager owns the clock and the lifetimes, turns tokens into ids, and writes the audit
//! line of every session it ends. It knows no HTTP and no particular store. It never retries
//! and never caches: what the store says now is the answer.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::{Clock, Moment, Session, SessionId, SessionStore, SessionToken, StoreError, User};

/// How long sessions live.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Absolute lifetime of a session that is issued without one of its own.
    pub session_ttl: Duration,
    /// How long a session may go unused; `None` for as long as it lives.
    pub idle_timeout: Option<Duration>,
}

/// Why a session was ended, as the audit line says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Its own client logged out.
    Logout,
    /// An operator revoked this one session.
    Admin,
    /// All sessions of its user were revoked.
    User,
}

impl EndReason {
    /// The word in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Admin => "admin",
            Self::User => "user",
        }
    }
}

/// Why no session could be issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system gave no randomness.
    #[error("no random bytes for a token")]
    Random(#[from] getrandom::Error),
}

/// Issues, checks and revokes sessions. Shared by all requests.
pub struct SessionManager {
    store: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
    lifetimes: Lifetimes,
}

impl SessionManager {
    /// A manager of the sessions in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn SessionStore>, clock: Arc<dyn Clock>, lifetimes: Lifetimes) -> Self {
        Self {
            store,
            clock,
            lifetimes,
        }
    }

    /// Issues a session to `user`, for `ttl` or the configured lifetime. The token is in nobody's
    /// hands but the caller's.
    pub async fn issue(
        &self,
        user: User,
        ttl: Option<Duration>,
    ) -> Result<(SessionToken, Session), IssueError> {
        let token = SessionToken::generate()?;
        let at = self.moment();
        let session = Session {
            id: SessionId::of(&token),
            user,
            created_at: at.now,
            last_seen_at: at.now,
            expires_at: at.now.plus(ttl.unwrap_or(self.lifetimes.session_ttl)),
        };
        self.store.insert(session.clone(), at).await?;
        tracing::info!(session = %session.id, user = %session.user, "session issued");
        Ok((token, session))
    }

    /// The session that vouches for a request presenting `tokens`: the first live one, provided
    /// that all live ones belong to one user. Using a session keeps it from idling out.
    pub async fn check(&self, tokens: &[SessionToken]) -> Result<Option<Session>, StoreError> {
        let at = self.moment();
        let uses = distinct_ids(tokens)
            .into_iter()
            .map(|id| self.use_one(id, at));
        let mut live = Vec::new();
        for used in join_all(uses).await {
            live.extend(used?);
        }
        let one_user = live.windows(2).all(|pair| pair[0].user == pair[1].user);
        Ok(live.into_iter().next().filter(|_| one_user))
    }

    async fn use_one(&self, id: SessionId, at: Moment) -> Result<Option<Session>, StoreError> {
        let Some(session) = self.store.find(&id, at).await? else {
            return Ok(None);
        };
        if !at.touch_is_due(&session) {
            return Ok(Some(session));
        }
        match self.store.touch(&id, at).await {
            Ok(still_live) => Ok(still_live.then_some(session)),
            // The store has just said that the session is live. That it cannot take a write
            // (a full disk, a full Redis) is no reason to turn a logged-in user away.
            Err(error) => {
                tracing::warn!(session = %id, class = error.class(), "last use not recorded: {error}");
                Ok(Some(session))
            }
        }
    }

    /// Ends the sessions of all `tokens`; says whether any was live. Every one is tried even if
    /// another fails, and one that cannot be confirmed makes the whole an error.
    pub async fn revoke(&self, tokens: &[SessionToken]) -> Result<bool, StoreError> {
        let at = self.moment();
        let ids = distinct_ids(tokens);
        let ended = join_all(ids.iter().map(|id| self.end(id, at, EndReason::Logout))).await;
        ended.into_iter().try_fold(false, |any, one| Ok(any | one?))
    }

    /// Ends the session of this id; says whether it was live.
    pub async fn revoke_id(&self, id: &SessionId) -> Result<bool, StoreError> {
        self.end(id, self.moment(), EndReason::Admin).await
    }

    async fn end(&self, id: &SessionId, at: Moment, why: EndReason) -> Result<bool, StoreError> {
        let ended = self.store.delete(id, at).await?;
        if let Some(session) = &ended {
            audit(session, why);
        }
        Ok(ended.is_some())
    }

    /// Ends all sessions of `user`; says how many were live.
    pub async fn revoke_user(&self, user: &User) -> Result<usize, StoreError> {
        let ended = self.store.delete_all(user, self.moment(), None).await?;
        for session in &ended {
            audit(session, EndReason::User);
        }
        Ok(ended.len())
    }

    /// The live sessions of `user`, oldest first.
    pub async fn list(&self, user: &User) -> Result<Vec<Session>, StoreError> {
        self.store.list(user, self.moment()).await
    }

    /// Whether the store answers and would keep its promises.
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.store.ready().await
    }

    /// Removes some sessions that are over; see [`SessionStore::sweep`].
    pub async fn sweep(&self) -> Result<(), StoreError> {
        self.store.sweep(self.moment()).await
    }

    fn moment(&self) -> Moment {
        Moment {
            now: self.clock.now(),
            idle_timeout: self.lifetimes.idle_timeout,
        }
    }
}

/// The one line an ended session leaves behind.
fn audit(session: &Session, why: EndReason) {
    tracing::info!(
        session = %session.id,
        user = %session.user,
        reason = why.as_str(),
        "session ended"
    );
}

/// The ids of `tokens` in the order presented, equal ones once.
fn distinct_ids(tokens: &[SessionToken]) -> Vec<SessionId> {
    let ids = tokens.iter().map(SessionId::of);
    if tokens.len() < 2 {
        return ids.collect();
    }
    let mut seen = HashSet::new();
    ids.filter(|id| seen.insert(*id)).collect()
}
