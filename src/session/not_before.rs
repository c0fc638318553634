//! What logging a user out everywhere says of sealed sessions, which no store has a list of: those
//! created up to a moment are revoked.
//!
//! That moment is "now", and sealed sessions are dated by the clock of the web app, so a clock of
//! ours that is wrong just then revokes too few or bars logins that are still to come. Which of the
//! two clocks was right shows only later. So both readings are kept, and what they are worth is
//! judged at use: a reading ahead of the present was none of a right clock.

use super::{CLOCK_SKEW, Moment, SealedSession, Timestamp, User};

/// The moment up to which a user's sealed sessions are revoked, as both clocks showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotBefore {
    /// By the wall clock.
    pub wall: Timestamp,
    /// By the steady clock; nearly always the same.
    pub steady: Timestamp,
}

impl NotBefore {
    /// Now.
    #[must_use]
    pub fn at(at: Moment) -> Self {
        Self {
            wall: at.now,
            steady: at.steady(),
        }
    }

    /// Whether this sealed session of the user is revoked, as far as is known at this moment: it
    /// was created up to the later of the two readings that is not ahead of the present. If both
    /// are ahead, the earlier holds: better to bar a login than to let a revoked session through.
    ///
    /// Should the present come to a reading that was ahead, it holds again: sealed sessions made
    /// in between are over then, unless the user was logged out everywhere once more before.
    #[must_use]
    pub fn covers(self, sealed: &SealedSession, at: Moment) -> bool {
        let (earlier, later) = (self.wall.min(self.steady), self.wall.max(self.steady));
        let is_ahead = later > at.now.plus(CLOCK_SKEW);
        sealed.created_at <= if is_ahead { earlier } else { later }
    }

    /// What holds after the user is logged out everywhere once more, at `newer`, and whether that
    /// moved a reading back. Each reading only moves forward, since the clock of another replica
    /// may be behind; but one that is further ahead than clocks differ comes back to the present.
    #[must_use]
    pub fn followed_by(self, newer: Self) -> (Self, bool) {
        let (wall, wall_was_ahead) = later_of(self.wall, newer.wall);
        let (steady, steady_was_ahead) = later_of(self.steady, newer.steady);
        (Self { wall, steady }, wall_was_ahead || steady_was_ahead)
    }

    /// Says in the log that a reading was ahead and is no longer.
    pub fn warn_of_one_ahead(user: &User) {
        tracing::warn!(
            %user,
            "the user had been logged out everywhere by a clock that was ahead; sealed sessions \
             made from now on are live again"
        );
    }
}

/// The later of the two, unless the known one is ahead; then the newer, and `true`.
fn later_of(known: Timestamp, newer: Timestamp) -> (Timestamp, bool) {
    let is_ahead = known > newer.plus(CLOCK_SKEW);
    let holds = if is_ahead { newer } else { known.max(newer) };
    (holds, is_ahead)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::SessionId;

    const DAY: i64 = 24 * 60 * 60 * 1_000;
    const NOW: i64 = 20_000 * DAY;

    fn moment(millis: i64, ahead_by: i64) -> Moment {
        Moment {
            ahead_by,
            ..Moment::of(Timestamp::from_millis(millis))
        }
    }

    /// The last moment of creation that is covered, seen from `now`.
    fn last_covered(not_before: NotBefore, now: i64) -> i64 {
        let covers = |created: i64| {
            let sealed = SealedSession {
                id: SessionId::from_bytes([0; 32]),
                user: None,
                created_at: Timestamp::from_millis(created),
                expires_at: Timestamp::from_millis(i64::MAX),
            };
            not_before.covers(&sealed, moment(now, 0))
        };
        let candidates = [0, NOW - 3 * DAY, NOW, NOW + 60_000, NOW + 3 * DAY];
        let last = candidates
            .into_iter()
            .rev()
            .find(|created| covers(*created));
        last.unwrap_or_default()
    }

    #[test]
    fn the_later_reading_holds_unless_it_is_ahead_of_the_present() {
        for (wall, ahead_by, now, last) in [
            // The clocks agree.
            (NOW, 0, NOW, NOW),
            // The wall clock is three days ahead, then right again, then there.
            (NOW + 3 * DAY, 3 * DAY, NOW + 3 * DAY, NOW + 3 * DAY),
            (NOW + 3 * DAY, 3 * DAY, NOW + 1, NOW),
            (NOW + 3 * DAY, 3 * DAY, NOW + 4 * DAY, NOW + 3 * DAY),
            // It has just been put right: the machine had booted in 1970.
            (NOW, NOW, NOW, NOW),
            // It is three days behind, then right again.
            (NOW - 3 * DAY, -3 * DAY, NOW - 3 * DAY, NOW - 3 * DAY),
            (NOW - 3 * DAY, -3 * DAY, NOW, NOW),
            // It was ahead all the time.
            (NOW + 3 * DAY, 0, NOW, NOW + 3 * DAY),
            // Clocks of two machines, as they differ.
            (NOW + 60_000, 0, NOW, NOW + 60_000),
        ] {
            let not_before = NotBefore::at(moment(wall, ahead_by));
            assert_eq!(last_covered(not_before, now), last, "{not_before:?}");
        }
    }

    #[test]
    fn each_reading_moves_forward_or_comes_back_from_where_no_clock_can_be() {
        let pair = |wall: i64, steady: i64| NotBefore {
            wall: Timestamp::from_millis(wall),
            steady: Timestamp::from_millis(steady),
        };
        for (known, newer, both, came_back) in [
            (pair(1, 1), pair(2, 2), pair(2, 2), false),
            (
                pair(60_000, 60_000),
                pair(0, 0),
                pair(60_000, 60_000),
                false,
            ),
            (pair(60_001, 60_001), pair(0, 0), pair(0, 0), true),
            (pair(DAY, 1), pair(2, 2), pair(2, 2), true),
            (pair(1, DAY), pair(2, 2), pair(2, 2), true),
            // The wall clock is behind: the steady one keeps what was revoked before.
            (pair(DAY, DAY), pair(5, DAY + 5), pair(5, DAY + 5), true),
            // It is ahead, once more.
            (pair(DAY, 5), pair(DAY + 1, 6), pair(DAY + 1, 6), false),
        ] {
            assert_eq!(known.followed_by(newer), (both, came_back));
        }
    }
}
