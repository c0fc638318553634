//! What every session leaves behind that is issued or ended: a line in the log, and a count.

use std::sync::Arc;

use super::{Ended, Session, SessionId, User};

words! {
    /// Why a session was ended.
    pub enum EndReason {
        /// Its own client logged out.
        Logout = "logout",
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
        // As texts, which the log takes as they are: this is the line that is written most.
        let mut digits = [0; 64];
        let (session, reason) = (session.hex(&mut digits), why.word());
        tracing::info!(session, user, reason, "session ended");
        self.0.ended(why);
    }

    /// All of a user's sessions were ended, and whoever asked for it hears which.
    pub(super) fn all_ended(&self, user: &User, sessions: &[Session], sealed: bool) {
        if sealed {
            sealed_ended(user);
        }
        for session in sessions {
            self.ended(&session.id, Some(&session.user), EndReason::User);
        }
    }

    /// Sessions of a user were ended, and whoever asked for it heard of an error.
    pub(super) fn some_ended(&self, user: &User, ended: &Ended) {
        if ended.sealed {
            sealed_ended(user);
        }
        let (count, reason) = (ended.sessions.len(), EndReason::User.word());
        if count > 0 {
            tracing::info!(%user, reason, count, "sessions ended by a call that failed or came too late");
        }
        for _ in &ended.sessions {
            self.0.ended(EndReason::User);
        }
    }
}

/// Which they were, nobody knows: they lie with the clients.
fn sealed_ended(user: &User) {
    let reason = EndReason::User.word();
    tracing::info!(%user, reason, "sealed sessions made up to now ended");
}
