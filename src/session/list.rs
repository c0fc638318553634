//! What a store answers when it is asked for a user's sessions: never more than fit an answer.

use std::cmp::Reverse;

use super::Session;

/// A user's live sessions, oldest first; the [`MOST`](Self::MOST) that expire last, if there are
/// more.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SessionList {
    /// These.
    pub sessions: Vec<Session>,
    /// Whether the user has more.
    pub truncated: bool,
}

impl SessionList {
    /// How many sessions one answer names: a user may have hundreds of thousands.
    pub const MOST: usize = 1000;

    /// Puts live sessions into a list, in whatever order they come.
    #[must_use]
    pub fn of(sessions: impl IntoIterator<Item = Session>) -> Self {
        let mut list = Self::default();
        for session in sessions {
            list.sessions.push(session);
            // Now and then, so that it takes no sorting for each nor memory for all.
            if list.sessions.len() == 2 * Self::MOST {
                list.truncate();
            }
        }
        list.truncate();
        let oldest_first = |session: &Session| (session.created_at, session.id);
        list.sessions.sort_unstable_by_key(oldest_first);
        list
    }

    fn truncate(&mut self) {
        if self.sessions.len() > Self::MOST {
            let last_first = |session: &Session| Reverse((session.expires_at, session.id));
            self.sessions
                .select_nth_unstable_by_key(Self::MOST, last_first);
            self.sessions.truncate(Self::MOST);
            self.truncated = true;
        }
    }
}
