//! What every session leaves behind that is issued or ended: a line in the log, and a count.

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

/// What happened to a session, for whoever counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// It was issued.
    Issued,
    /// It was ended before its time.
    Ended(EndReason),
}

/// Is told of every event, at once.
pub type Observer = Box<dyn Fn(SessionEvent) + Send + Sync>;

/// Writes the lines and tells the observer.
pub(super) struct Audit {
    observer: Observer,
}

impl Audit {
    pub(super) const fn new(observer: Observer) -> Self {
        Self { observer }
    }

    /// A session was issued.
    pub(super) fn issued(&self, session: &Session) {
        tracing::info!(session = %session.id, user = %session.user, "session issued");
        (self.observer)(SessionEvent::Issued);
    }

    /// A session was ended.
    pub(super) fn ended(&self, session: &SessionId, user: Option<&User>, why: EndReason) {
        let user = user.map(User::as_str).unwrap_or_default();
        let reason = why.word();
        tracing::info!(%session, user, reason, "session ended");
        (self.observer)(SessionEvent::Ended(why));
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
            (self.observer)(SessionEvent::Ended(EndReason::User));
        }
    }
}

/// Which they were, nobody knows: they lie with the clients.
fn sealed_ended(user: &User) {
    let reason = EndReason::User.word();
    tracing::info!(%user, reason, "sealed sessions made up to now ended");
}
