//! What lies behind one lock of the memory store: a table of sessions, or of users.

use std::hash::Hash;

use hashbrown::{HashMap, HashTable};

use super::index::{Handle, Index, is_sparse};
use crate::session::{
    Label, Moment, NotBefore, SealedSession, Session, SessionId, Timestamp, User,
};

/// How many sessions lie in one piece of memory.
const CHUNK: usize = 16;

/// A session as it lies here. Its label lies apart, so that sessions without one, which is nearly
/// all, are no larger for it.
pub(super) type Row = Session<()>;

/// Sessions side by side without gaps, and where each of them lies. In chunks, because both other
/// ways are worse: one allocation for each session weighs more, and glibc answers the freeing of
/// millions of small pieces with a long pause at some later call; and thousands of vectors that
/// grow together leave all their outgrown selves behind.
#[derive(Default)]
pub(super) struct Sessions {
    places: HashTable<u32>,
    chunks: Chunks,
    labels: HashMap<SessionId, Label>,
}

#[derive(Default)]
struct Chunks(Vec<Vec<Row>>);

impl Chunks {
    fn len(&self) -> usize {
        let last = self.0.last().map_or(CHUNK, Vec::len);
        self.0.len() * CHUNK + last - CHUNK
    }

    fn at(&self, place: usize) -> &Row {
        &self.0[place / CHUNK][place % CHUNK]
    }

    fn at_mut(&mut self, place: usize) -> &mut Row {
        &mut self.0[place / CHUNK][place % CHUNK]
    }

    fn push(&mut self, session: Row) {
        match self.0.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(session),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(session);
                self.0.push(chunk);
            }
        }
    }

    fn pop(&mut self) -> Option<Row> {
        let chunk = self.0.last_mut()?;
        let last = chunk.pop();
        if chunk.is_empty() {
            self.0.pop();
        }
        last
    }

    fn handle_at(&self, place: u32) -> Handle {
        handle_of(&self.at(place as usize).id)
    }
}

impl Sessions {
    /// Where the session lies that has this handle and `is_it`.
    fn place(&self, handle: Handle, is_it: impl Fn(&Row) -> bool) -> Option<usize> {
        let is_there = |place: &u32| is_it(self.chunks.at(*place as usize));
        let place = self.places.find(handle, is_there)?;
        Some(*place as usize)
    }

    pub(super) fn get(&self, handle: Handle, is_it: impl Fn(&Row) -> bool) -> Option<Session> {
        let row = self.chunks.at(self.place(handle, is_it)?);
        let label = self.labels.get(&row.id).cloned();
        Some(row.clone().relabelled(label).0)
    }

    pub(super) fn get_mut(&mut self, id: &SessionId) -> Option<&mut Row> {
        let place = self.place(handle_of(id), |session| session.id == *id)?;
        Some(self.chunks.at_mut(place))
    }

    /// Adds a session, unless one of its id is here; says whether it did.
    pub(super) fn add(&mut self, session: Session) -> bool {
        let (id, handle) = (session.id, handle_of(&session.id));
        if self.place(handle, |known| known.id == id).is_some() {
            return false;
        }
        let (place, chunks) = (narrow(self.chunks.len()), &mut self.chunks);
        let (row, label) = session.relabelled(());
        chunks.push(row);
        self.labels.extend(label.map(|label| (id, label)));
        let handle_at = |place: &u32| chunks.handle_at(*place);
        self.places.insert_unique(handle, place, handle_at);
        true
    }

    pub(super) fn take(&mut self, handle: Handle, is_it: impl Fn(&Row) -> bool) -> Option<Session> {
        let place = self.place(handle, is_it)?;
        self.remove(place)
    }

    /// Removes the session that lies at `place`, and moves the last one there.
    fn remove(&mut self, place: usize) -> Option<Session> {
        let mut removed = self.chunks.pop()?;
        let (here, last) = (narrow(place), narrow(self.chunks.len()));
        if here != last {
            std::mem::swap(self.chunks.at_mut(place), &mut removed);
        }
        // The removed one's entry goes before the moved one's takes its number.
        self.unlink(&removed, here);
        if here != last {
            let moved = self.chunks.handle_at(here);
            let known = self.places.find_mut(moved, |known| *known == last);
            if let Some(known) = known {
                *known = here;
            }
        }
        let label = if self.labels.is_empty() {
            None
        } else {
            self.labels.remove(&removed.id)
        };
        Some(removed.relabelled(label).0)
    }

    fn unlink(&mut self, removed: &Row, place: u32) {
        let is_here = |known: &u32| *known == place;
        if let Ok(entry) = self.places.find_entry(handle_of(&removed.id), is_here) {
            entry.remove();
        }
    }

    /// The ids of the sessions that are over for good.
    pub(super) fn ids_over(&self, at: Moment) -> impl Iterator<Item = SessionId> {
        let sessions = self.chunks.0.iter().flatten();
        let over = sessions.filter(move |session| at.is_over_for_good(session));
        over.map(|session| session.id)
    }

    /// Takes out up to `most` sessions that are over for good. It goes from `*end` to the front, so that
    /// those that move have been looked at, and leaves in `*end` where to go on: 0 when done.
    pub(super) fn take_over(&mut self, end: &mut usize, most: usize, at: Moment) -> Vec<Session> {
        let mut over = Vec::new();
        *end = self.chunks.len().min(*end);
        while *end > 0 && over.len() < most {
            *end -= 1;
            if at.is_over_for_good(self.chunks.at(*end)) {
                over.extend(self.remove(*end));
            }
        }
        if *end == 0 && is_sparse(self.places.capacity(), self.places.len()) {
            self.chunks.0.shrink_to_fit();
            self.labels.shrink_to_fit();
            let chunks = &self.chunks;
            self.places.shrink_to(0, |place| chunks.handle_at(*place));
        }
        over
    }
}

/// What is kept by user: the sessions' places, and the moment before which the user's sealed
/// sessions are revoked.
#[derive(Default)]
pub(super) struct Users {
    pub(super) index: Index,
    pub(super) marks: HashMap<User, Mark>,
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

impl Users {
    /// Whether this sealed session of one of the users here was revoked with its user's others.
    pub(super) fn covers(&self, sealed: &SealedSession, at: Moment) -> bool {
        let mark = sealed.user.as_ref().and_then(|user| self.marks.get(user));
        mark.is_some_and(|mark| mark.not_before.covers(sealed, at))
    }
}

/// Removes what is over, and the space it took; says how many they were.
pub(super) fn drop_over<K: Eq + Hash, V>(
    map: &mut HashMap<K, V>,
    is_over: impl Fn(&V) -> bool,
) -> usize {
    let gone = map.extract_if(|_, value| is_over(value)).count();
    if is_sparse(map.capacity(), map.len()) {
        map.shrink_to_fit();
    }
    gone
}

pub(super) fn handle_of(id: &SessionId) -> Handle {
    let first_eight = id.as_bytes().first_chunk().copied();
    Handle::from_le_bytes(first_eight.unwrap_or_default())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "one table of thousands has no four billion sessions"
)]
const fn narrow(place: usize) -> u32 {
    place as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::{any, proptest};

    use super::*;

    fn session(number: u16) -> Session {
        let mut digest = [0; 32];
        // Few handles, so that several sessions share one.
        digest[..2].copy_from_slice(&(number % 300).to_le_bytes());
        digest[30..].copy_from_slice(&number.to_le_bytes());
        Session {
            id: SessionId::from_bytes(digest),
            user: User::new("anna").unwrap(),
            created_at: Timestamp::from_millis(0),
            last_seen_at: Timestamp::from_millis(0),
            expires_at: Timestamp::from_millis(i64::from(number)),
            label: number
                .is_multiple_of(3)
                .then(|| Label::new(&number.to_string()).unwrap()),
        }
    }

    #[test]
    fn a_session_without_a_label_takes_no_room_for_one() {
        let (labelled, row) = (size_of::<Session>(), size_of::<Row>());
        assert_eq!(labelled - row, size_of::<Option<Label>>());
    }

    proptest! {
        #[test]
        fn a_table_holds_what_was_added_and_not_taken(
            adds in proptest::collection::vec(0_u16..500, 1..400),
            takes in proptest::collection::vec(0_u16..500, 0..200),
            over in proptest::collection::vec((any::<u8>(), 1_usize..40), 0..4),
        ) {
            let mut table = Sessions::default();
            let mut model = BTreeMap::new();
            let both = adds.chunks(100).zip(takes.chunks(50).chain(std::iter::repeat(&[][..])));
            for (adds, takes) in both {
                for number in adds {
                    let is_new = model.insert(*number, session(*number)).is_none();
                    assert_eq!(table.add(session(*number)), is_new);
                }
                for number in takes {
                    let wanted = session(*number);
                    let taken = table.take(handle_of(&wanted.id), |known| known.id == wanted.id);
                    assert_eq!(taken, model.remove(number));
                }
            }
            for (now, most) in over {
                let now = Timestamp::from_millis(i64::from(now) * 2);
                let at = Moment::of(now);
                let (mut end, mut taken) = (usize::MAX, 0);
                while end > 0 {
                    let batch = table.take_over(&mut end, most, at);
                    assert!(batch.len() <= most);
                    assert!(batch.iter().all(|session| session.expires_at <= now));
                    taken += batch.len();
                }
                let before = model.len();
                model.retain(|_, session| at.is_live(session));
                assert_eq!(taken, before - model.len());
            }
            assert_eq!(table.chunks.len(), model.len());
            assert_eq!(table.places.len(), model.len());
            let labelled = model.values().filter(|session| session.label.is_some());
            assert_eq!(table.labels.len(), labelled.count());
            for number in 0..500 {
                let wanted = session(number);
                let found = table.get(handle_of(&wanted.id), |known| known.id == wanted.id);
                assert_eq!(found.as_ref(), model.get(&number));
                assert_eq!(table.get_mut(&wanted.id).is_some(), model.contains_key(&number));
            }
        }
    }
}
