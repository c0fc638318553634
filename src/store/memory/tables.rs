//! What lies behind one lock of the memory store: a table of sessions, or of users.

use std::collections::BTreeSet;
use std::hash::Hash;

use hashbrown::{HashMap, HashTable};

use crate::session::{Moment, SealedSession, Session, SessionId, Timestamp, User};

/// The session's place: the first eight bytes of its digest. Uniform, and not for an attacker
/// to choose, since only tokens made here are ever entered, each once. It is the hash in the
/// session's table and all that the user index keeps: that two sessions of one user share it is
/// as likely as to guess 64 bits.
pub(super) type Handle = u64;

/// A keyed hash of the user's name. The index keeps it in place of the name; should two users
/// ever share one, the name in the session tells them apart.
pub(super) type UserKey = u64;

/// Sessions side by side without gaps, and where each of them lies. One allocation for each
/// would weigh more, and glibc answers the freeing of millions of small pieces with a pause of
/// up to a tenth of a second at some later call.
#[derive(Default)]
pub(super) struct Sessions {
    places: HashTable<u32>,
    sessions: Vec<Session>,
}

impl Sessions {
    /// Where the session lies that has this handle and `is_it`.
    fn place(&self, handle: Handle, is_it: impl Fn(&Session) -> bool) -> Option<usize> {
        let place = self
            .places
            .find(handle, |place| is_it(&self.sessions[*place as usize]))?;
        Some(*place as usize)
    }

    pub(super) fn get(&self, handle: Handle, is_it: impl Fn(&Session) -> bool) -> Option<&Session> {
        Some(&self.sessions[self.place(handle, is_it)?])
    }

    pub(super) fn get_mut(&mut self, id: &SessionId) -> Option<&mut Session> {
        let place = self.place(handle_of(id), |session| session.id == *id)?;
        Some(&mut self.sessions[place])
    }

    /// Adds a session, unless one of its id is here; says whether it did.
    pub(super) fn add(&mut self, session: Session) -> bool {
        let (id, handle) = (session.id, handle_of(&session.id));
        if self.place(handle, |known| known.id == id).is_some() {
            return false;
        }
        if self.sessions.len() == self.sessions.capacity() {
            // By a quarter and not by as much again: it is most of what the store weighs.
            self.sessions.reserve_exact(4.max(self.sessions.len() / 4));
        }
        let place = narrow(self.sessions.len());
        self.sessions.push(session);
        let sessions = &self.sessions;
        self.places
            .insert_unique(handle, place, |place| handle_at(sessions, *place));
        true
    }

    pub(super) fn take(
        &mut self,
        handle: Handle,
        is_it: impl Fn(&Session) -> bool,
    ) -> Option<Session> {
        let place = self.place(handle, is_it)?;
        Some(self.remove(place))
    }

    /// Removes the session that lies at `place`, and moves the last one there.
    fn remove(&mut self, place: usize) -> Session {
        let removed = self.sessions.swap_remove(place);
        let (here, last) = (narrow(place), narrow(self.sessions.len()));
        let is_here = |known: &u32| *known == here;
        if let Ok(entry) = self.places.find_entry(handle_of(&removed.id), is_here) {
            entry.remove();
        }
        if let Some(moved) = self.sessions.get(place) {
            let was_last = |known: &u32| *known == last;
            if let Some(known) = self.places.find_mut(handle_of(&moved.id), was_last) {
                *known = here;
            }
        }
        removed
    }

    /// Takes out up to `most` sessions that are over. It goes from `*end` to the front, so that
    /// those that move have been looked at, and leaves in `*end` where to go on: 0 when done.
    pub(super) fn take_over(&mut self, end: &mut usize, most: usize, at: Moment) -> Vec<Session> {
        let mut over = Vec::new();
        *end = self.sessions.len().min(*end);
        while *end > 0 && over.len() < most {
            *end -= 1;
            if !at.is_live(&self.sessions[*end]) {
                over.push(self.remove(*end));
            }
        }
        if *end == 0 && is_sparse(self.sessions.capacity(), self.sessions.len()) {
            self.sessions.shrink_to_fit();
            let sessions = &self.sessions;
            self.places
                .shrink_to(0, |place| handle_at(sessions, *place));
        }
        over
    }
}

/// What is kept by user: the sessions' places, and the moment before which the user's sealed
/// sessions are revoked. The index is a tree, which never stops to grow.
#[derive(Default)]
pub(super) struct Users {
    pub(super) index: BTreeSet<(UserKey, Handle)>,
    pub(super) marks: HashMap<User, Mark>,
}

/// Sealed sessions created up to `not_before` are revoked; remembered until `until`.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub(super) not_before: Timestamp,
    pub(super) until: Timestamp,
}

impl Users {
    /// The user's sessions, from this place on.
    pub(super) fn handles_from(&self, key: UserKey, first: Handle) -> impl Iterator<Item = Handle> {
        let all = self.index.range((key, first)..=(key, Handle::MAX));
        all.map(|(_, handle)| *handle)
    }

    /// Whether this sealed session of one of the users here was revoked with its user's others.
    pub(super) fn covers(&self, sealed: &SealedSession) -> bool {
        let mark = sealed.user.as_ref().and_then(|user| self.marks.get(user));
        mark.is_some_and(|mark| sealed.created_at <= mark.not_before)
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

fn handle_at(sessions: &[Session], place: u32) -> Handle {
    handle_of(&sessions[place as usize].id)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "one table of thousands has no four billion sessions"
)]
const fn narrow(place: usize) -> u32 {
    place as u32
}

/// Whether a table of this capacity is worth making smaller.
const fn is_sparse(capacity: usize, len: usize) -> bool {
    capacity > 64 && capacity / 4 > len
}
