//! Sessions that a call has ended while its caller does not know yet.
//!
//! Should the call fail after all, its caller hears an error, and whoever tries again that there
//! is nothing to end: so nobody would ever say in the log that these sessions ended. Then this
//! does, when it is dropped, also if the call was given up in the middle. It names no token: a
//! store never sees one.

use parking_lot::Mutex;

use crate::session::{SessionId, User};

/// What was ended and not yet told.
pub(super) struct Ended {
    untold: Mutex<Vec<(SessionId, Option<User>)>>,
    waits_for_replicas: bool,
}

impl Ended {
    pub(super) const fn new(waits_for_replicas: bool) -> Self {
        Self {
            untold: Mutex::new(Vec::new()),
            waits_for_replicas,
        }
    }

    /// The server has ended this one.
    pub(super) fn add(&self, session: SessionId, user: Option<&User>) {
        self.untold.lock().push((session, user.cloned()));
    }

    /// The call succeeds, and its caller will say what ended.
    pub(super) fn is_told(&self) {
        self.untold.lock().clear();
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        for (session, user) in self.untold.get_mut() {
            let user = user.as_ref().map(User::as_str).unwrap_or_default();
            if self.waits_for_replicas {
                tracing::warn!(%session, user, "session ended, not confirmed by replicas");
            } else {
                tracing::warn!(%session, user, "session ended by a call that failed later");
            }
        }
    }
}
