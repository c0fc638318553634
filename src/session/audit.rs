//! What every session leaves behind that is issued or ended: a line in the log, and a count.

use std::sync::Arc;

use super::{Ended, Session, SessionId, User};

words! {
    /// Why a session was ended.
    pub enum EndReason {
        /// Its own client logged out.
        Logout = "logout",
        /// Its browser presented it at a login.
        Login = "login",
        /// Its user had logged in once too often since.
        Limit = "limit",
        /// Its user ended it, by this session or another.
        Own = "self",
        /// An operator revoked this one session.
        Admin = "admin",
        /// All sessions of its user were revoked.
        User = "user",
    }
}

/// Is told at once of every session that is issued or ended before its time.
pub trait Observer: Send + Sync + 'static {
    /// One was issued.
    fn issued(&self);

    /// One was ended.
    fn ended(&self, why: EndReason);
}

/// Writes the lines and tells the observer.
pub(super) struct Audit(pub(super) Arc<dyn Observer>);

impl Audit {
    /// A session was issued.
    pub(super) fn issued(&self, session: &Session) {
        tracing::info!(session = %session.id, user = %session.user, "session issued");
        self.0.issued();
    }

    /// A session was ended.
    pub(super) fn ended(&self, session: &SessionId, user: Option<&User>, why: EndReason) {
        let user = user.map(User::as_str).unwrap_or_default();
        // As texts, the message too, which the log takes as they are: of all lines this is written most.
        let mut digits = [0; 64];
        let (session, reason) = (session.hex(&mut digits), why.word());
        tracing::info!(message = "session ended", session, user, reason);
        self.0.ended(why);
    }

    /// All that was to end of a user's sessions has ended, and whoever asked for it hears which.
    pub(super) fn all_ended(
        &self,
        user: &User,
        sessions: &[Session],
        sealed: bool,
        why: EndReason,
    ) {
        if sealed {
            sealed_ended(user, why);
        }
        for session in sessions {
            self.ended(&session.id, Some(&session.user), why);
        }
    }

    /// Sessions of a user were ended, and whoever asked for it heard of an error.
    pub(super) fn some_ended(&self, user: &User, ended: &Ended, why: EndReason) {
        if ended.sealed {
            sealed_ended(user, why);
        }
        let (count, reason) = (ended.sessions.len(), why.word());
        if count > 0 {
            tracing::info!(%user, reason, count, "sessions ended by a call that failed or came too late");
        }
        for _ in &ended.sessions {
            self.0.ended(why);
        }
    }
}

/// Which they were, nobody knows: they lie with the clients.
fn sealed_ended(user: &User, why: EndReason) {
    let reason = why.word();
    tracing::info!(%user, reason, "sealed sessions made up to now ended");
}
