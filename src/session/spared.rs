//! Which of a user's sessions stay when the others are ended.

use std::collections::BTreeSet;

use super::{CLOCK_SKEW, Moment, Session, SessionId, Timestamp};

/// Which sessions of a user a call leaves alone.
#[derive(Clone, Debug)]
pub enum Spared {
    /// Those of these ids.
    These(Vec<SessionId>),
    /// The last so many live ones, by [`Session::created_at`], then id. One that is dated further
    /// ahead than clocks differ was made by a clock that was wrong, and counts as the oldest.
    Last(usize),
}

/// Goes through a user's sessions, in any order, and says of each whether it is to be ended.
///
/// A session is to be ended once as many later ones have been seen live as are to stay. Which of
/// two is the later never changes, so of calls that race none ends the last, and what was said of
/// one session need not wait for the next: a store holds no lock over them all.
#[derive(Debug)]
pub struct Trim<'a> {
    spared: &'a Spared,
    at: Moment,
    last: BTreeSet<(bool, Timestamp, SessionId)>,
}

impl<'a> Trim<'a> {
    /// Before the first session.
    #[must_use]
    pub const fn new(spared: &'a Spared, at: Moment) -> Self {
        Self {
            spared,
            at,
            last: BTreeSet::new(),
        }
    }

    /// Takes this session into account. Gives back which one is to be ended now: this or one seen
    /// before, if any.
    pub fn see<U, L>(&mut self, session: &Session<U, L>) -> Option<SessionId> {
        let most = match self.spared {
            Spared::These(ids) => return (!ids.contains(&session.id)).then_some(session.id),
            Spared::Last(_) if !self.at.is_live(session) => return Some(session.id),
            Spared::Last(most) => *most,
        };
        let is_ahead = session.created_at > self.at.now.plus(CLOCK_SKEW);
        self.last
            .insert((!is_ahead, session.created_at, session.id));
        let first = (self.last.len() > most).then(|| self.last.pop_first());
        first.flatten().map(|(_, _, id)| id)
    }

    /// Whether, after what has been seen so far, the session of this id is to stay.
    #[must_use]
    pub fn keeps(&self, id: &SessionId) -> bool {
        match self.spared {
            Spared::These(ids) => ids.contains(id),
            Spared::Last(_) => self.last.iter().any(|(_, _, kept)| kept == id),
        }
    }
}
