//! What lies behind one lock of the memory store: users, with all that is kept of each.

use hashbrown::HashMap;
use slab::Slab;

use super::is_sparse;
use super::places::Places;
use super::rows::{Row, Rows};
use crate::session::{
    Label, Moment, NotBefore, SealedSession, Session, SessionId, Timestamp, User,
};

/// Where a user lies in its table, for as long as there is a session of his.
pub(super) type Slot = u32;

/// A keyed hash of the user's name.
pub(super) type UserKey = u64;

/// Users that have sessions, and the moment before which a user's sealed sessions are revoked.
#[derive(Default)]
pub(super) struct Users {
    known: Slab<Known>,
    slots: Places,
    labels: HashMap<SessionId, Label>,
    pub(super) marks: HashMap<User, Mark>,
}

/// A user, and at least one session.
struct Known {
    user: User,
    rows: Rows,
}

/// How far a walk through all sessions of a table has come.
#[derive(Default)]
pub(super) struct Walk {
    last: Option<(usize, SessionId)>,
    pub(super) is_done: bool,
}

impl Users {
    /// Where this user lies, if there are sessions of his.
    fn slot(&self, key: UserKey, user: &User) -> Option<Slot> {
        let is_there = |slot: &Slot| self.known[*slot as usize].user == *user;
        self.slots.of(key).into_iter().find(is_there)
    }

    /// Adds a session, unless its user has one of its id; says where if it did.
    pub(super) fn add(&mut self, key: UserKey, session: Session) -> Option<Slot> {
        let id = session.id;
        let (row, user, label) = session.exchange((), ());
        let slot = if let Some(slot) = self.slot(key, &user) {
            self.known[slot as usize].rows.insert(row).then_some(slot)?
        } else {
            let rows = Rows::of(row);
            let slot = narrow(self.known.insert(Known { user, rows }));
            self.slots.insert(key, slot);
            slot
        };
        self.labels.extend(label.map(|label| (id, label)));
        Some(slot)
    }

    /// A copy of the session of this id, if its user lies there.
    pub(super) fn get(&self, slot: Slot, id: &SessionId) -> Option<Session> {
        let known = self.known.get(slot as usize)?;
        Some(self.session_of(known, known.rows.get(id)?))
    }

    pub(super) fn get_mut(&mut self, slot: Slot, id: &SessionId) -> Option<&mut Row> {
        self.known.get_mut(slot as usize)?.rows.get_mut(id)
    }

    fn session_of(&self, known: &Known, row: &Row) -> Session {
        let label = self.labels.get(&row.id).cloned();
        row.clone().exchange(known.user.clone(), label).0
    }

    /// Copies of up to so `many` sessions of the user that come after the one of id `last`, and
    /// where the user lies.
    pub(super) fn some_of(
        &self,
        (key, user): (UserKey, &User),
        last: Option<SessionId>,
        many: usize,
    ) -> (Slot, Vec<Session>) {
        let Some(slot) = self.slot(key, user) else {
            return (0, Vec::new());
        };
        let known = &self.known[slot as usize];
        let rows = known.rows.after(last).take(many);
        (slot, rows.map(|row| self.session_of(known, row)).collect())
    }

    /// Takes out the session of this id, if its user lies there. One whose last it was goes too.
    pub(super) fn take(
        &mut self,
        slot: Slot,
        id: &SessionId,
        key_of: impl Fn(&User) -> UserKey,
    ) -> Option<Session> {
        let known = self.known.get_mut(slot as usize)?;
        let row = known.rows.remove(id)?;
        let user = if known.rows.is_empty() {
            let user = self.known.remove(slot as usize).user;
            self.slots.remove(key_of(&user), slot);
            user
        } else {
            known.user.clone()
        };
        let label = if self.labels.is_empty() {
            None
        } else {
            self.labels.remove(id)
        };
        Some(row.exchange(user, label).0)
    }

    /// The sessions here, from the one on that comes after `last`.
    fn rows_after(&self, last: Option<(usize, SessionId)>) -> impl Iterator<Item = (usize, &Row)> {
        let first = last.map_or(0, |(slot, _)| slot);
        let rows_of = move |slot| {
            let rows = &self.known.get(slot)?.rows;
            let last = last.filter(|(of, _)| *of == slot).map(|(_, id)| id);
            Some(rows.after(last).map(move |row| (slot, row)))
        };
        (first..self.known.capacity()).filter_map(rows_of).flatten()
    }

    /// Looks at the next `many` sessions of the walk; says which of them are over for good, and
    /// where they lie.
    pub(super) fn some_over(
        &self,
        walk: &mut Walk,
        many: usize,
        at: Moment,
    ) -> Vec<(Slot, SessionId)> {
        let (mut over, mut seen) = (Vec::new(), 0);
        for (slot, row) in self.rows_after(walk.last).take(many) {
            seen += 1;
            walk.last = Some((slot, row.id));
            if at.is_over_for_good(row) {
                over.push((narrow(slot), row.id));
            }
        }
        walk.is_done = seen < many;
        over
    }

    /// How many users there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Gives back the space of those that are gone, as far as there is much and it lies at the end.
    pub(super) fn shrink(&mut self) {
        self.slots.shrink();
        if is_sparse(self.known.capacity(), self.known.len()) {
            self.known.shrink_to_fit();
        }
        if is_sparse(self.labels.capacity(), self.labels.len()) {
            self.labels.shrink_to_fit();
        }
    }

    /// Whether this sealed session of one of the users here was revoked with its user's others.
    pub(super) fn covers(&self, sealed: &SealedSession, at: Moment) -> bool {
        let mark = sealed.user.as_ref().and_then(|user| self.marks.get(user));
        mark.is_some_and(|mark| mark.not_before.covers(sealed, at))
    }
}

/// Sealed sessions created up to `not_before` are revoked; remembered until `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Mark {
    pub(in crate::store) not_before: NotBefore,
    pub(in crate::store) until: Timestamp,
}

impl Mark {
    pub(in crate::store) fn at(at: Moment, until: Timestamp) -> Self {
        let not_before = NotBefore::at(at);
        Self { not_before, until }
    }

    /// The mark of `user` that holds after `newer` was set. One that comes back from ahead is to be
    /// remembered for as long as `newer` asks, others for as long as either does.
    pub(in crate::store) fn followed_by(self, newer: Self, user: &User) -> Self {
        let (not_before, was_ahead) = self.not_before.followed_by(newer.not_before);
        let mut until = newer.until;
        if was_ahead {
            NotBefore::warn_of_one_ahead(user);
        } else {
            until = until.max(self.until);
        }
        Self { not_before, until }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "one table of hundreds has no sixteen million users, which is what a place has room for"
)]
const fn narrow(slot: usize) -> Slot {
    slot as Slot
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::{any, proptest};

    use super::*;

    fn session(number: u8) -> Session {
        let mut digest = [0; 32];
        // Not in the order of the numbers.
        digest[0] = number.wrapping_mul(37);
        Session {
            id: SessionId::from_bytes(digest),
            // Most are one's, who then has more than lie side by side.
            user: User::new(["anna", "anna", "anna", "berta"][usize::from(number) % 4]).unwrap(),
            created_at: Timestamp::from_millis(0),
            last_seen_at: Timestamp::from_millis(0),
            expires_at: Timestamp::from_millis(i64::from(number)),
            label: number
                .is_multiple_of(3)
                .then(|| Label::new(&number.to_string()).unwrap()),
        }
    }

    /// Users share it, as some might.
    const KEY: UserKey = 7;

    #[test]
    fn a_session_takes_no_room_for_its_user_and_a_label() {
        let (whole, row) = (size_of::<Session>(), size_of::<Row>());
        assert_eq!(whole - row, size_of::<User>() + size_of::<Option<Label>>());
    }

    proptest! {
        #[test]
        fn a_table_holds_what_was_added_and_not_taken(
            steps in proptest::collection::vec((any::<u8>(), proptest::bool::weighted(0.7)), 0..500),
            over in proptest::collection::vec((any::<u8>(), 1_usize..40), 0..4),
        ) {
            let (mut table, mut model) = (Users::default(), BTreeMap::new());
            let mut slots = BTreeMap::new();
            for (number, is_add) in steps {
                let session = session(number);
                if is_add {
                    let slot = table.add(KEY, session.clone());
                    assert_eq!(slot.is_some(), model.insert(number, session).is_none());
                    slots.extend(slot.map(|slot| (number, slot)));
                } else {
                    let slot = slots.get(&number).copied().unwrap_or_default();
                    let taken = table.take(slot, &session.id, |_| KEY);
                    assert_eq!(taken, model.remove(&number));
                }
            }
            for (now, many) in over {
                let at = Moment::of(Timestamp::from_millis(i64::from(now)));
                let before = model.len();
                model.retain(|_, session| at.is_live(session));
                let (mut walk, mut taken) = (Walk::default(), 0);
                while !walk.is_done {
                    let some = table.some_over(&mut walk, many, at);
                    assert!(some.len() <= many);
                    taken += some.len();
                    for (slot, id) in some {
                        assert!(table.take(slot, &id, |_| KEY).is_some());
                    }
                }
                assert_eq!(taken, before - model.len());
            }
            for number in 0..=u8::MAX {
                let slot = slots.get(&number).copied().unwrap_or_default();
                let found = table.get(slot, &session(number).id);
                assert_eq!(found.as_ref(), model.get(&number));
            }
            for name in ["anna", "berta"] {
                let user = User::new(name).unwrap();
                let mut all: Vec<Session> = Vec::new();
                loop {
                    let last = all.last().map(|session| session.id);
                    let (_, some) = table.some_of((KEY, &user), last, 10);
                    if some.is_empty() {
                        break;
                    }
                    all.extend(some);
                }
                let mut known: Vec<_> = model.values().filter(|session| session.user == user).collect();
                known.sort_by_key(|session| session.id);
                assert!(all.iter().eq(known));
            }
            let labelled = model.values().filter(|session| session.label.is_some());
            assert_eq!(table.labels.len(), labelled.count());
            let users: BTreeSet<_> = model.values().map(|session| &session.user).collect();
            assert_eq!((table.len(), table.known.len()), (users.len(), users.len()));
        }
    }
}
