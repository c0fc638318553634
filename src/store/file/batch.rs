//! What one commit is about to change, and what each caller will be told once it has.
//!
//! Decisions are made here, one call after the other, against the memory as it stands plus the
//! batch so far; nothing is changed before the journal holds it. So a session is handed to the
//! first that asks, and if the commit fails it is still there for whoever asks again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::entry::Entry;
use super::journal::Fault;
use crate::session::{
    Moment, SealedSession, Session, SessionId, Spared, StoreError, StoreErrorKind, Timestamp, Trim,
    User,
};
use crate::store::memory::{Mark, MemoryStore};

/// Where one caller waits.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Answers a call once its commit has come out.
pub(super) type Callback = Box<dyn FnOnce(Result<(), &Arc<Fault>>) + Send>;

/// Changes decided and not yet written.
pub(super) struct Batch<'a> {
    memory: &'a MemoryStore,
    entries: Vec<Entry>,
    added: HashMap<SessionId, Session>,
    removed: HashSet<SessionId>,
    revoked: HashMap<SessionId, Timestamp>,
    marks: HashMap<User, Mark>,
    /// How many of the marks are not moved but new.
    new_marks: usize,
    callbacks: Vec<Callback>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(memory: &'a MemoryStore) -> Self {
        Self {
            memory,
            entries: Vec::new(),
            added: HashMap::new(),
            removed: HashSet::new(),
            revoked: HashMap::new(),
            marks: HashMap::new(),
            new_marks: 0,
            callbacks: Vec::new(),
        }
    }

    pub(super) fn insert(&mut self, session: Session, at: Moment, reply: Reply<()>) {
        if self.keeps(&session.id) {
            // The same again, after an error that hid a success: one row is enough, and two would
            // both be carried along for ever.
            return self.answer(reply, ());
        }
        if !self.has_room_or_sweeps(at) {
            return refuse(reply);
        }
        self.entries.push(Entry::Kept(session.clone()));
        self.added.insert(session.id, session);
        self.answer(reply, ());
    }

    pub(super) fn delete(&mut self, id: &SessionId, at: Moment, reply: Reply<Option<Session>>) {
        let ended = self.end(id).filter(|session| at.is_live(session));
        self.answer(reply, ended);
    }

    pub(super) fn trim(
        &mut self,
        user: &User,
        spared: &Spared,
        at: Moment,
        seals_until: Option<Timestamp>,
        reply: Reply<Vec<Session>>,
    ) {
        let added = self.added.values().filter(|session| session.user == *user);
        let mut sessions = self.memory.peek_all(user);
        sessions.retain(|session| !self.removed.contains(&session.id));
        sessions.extend(added.cloned());
        let mut trim = Trim::new(spared, at);
        let ids: Vec<SessionId> = sessions.iter().filter_map(|one| trim.see(one)).collect();
        let ended: Vec<Session> = ids.iter().filter_map(|id| self.end(id)).collect();
        if let Some(until) = seals_until {
            // A user that loses a session makes room for its mark.
            if !self.mark(user, at, until, !ended.is_empty()) {
                return refuse(reply);
            }
        }
        let live = ended.into_iter().filter(|session| at.is_live(session));
        let live = live.collect();
        self.answer(reply, live);
    }

    pub(super) fn revoke_sealed(&mut self, sealed: &SealedSession, at: Moment, reply: Reply<bool>) {
        if at.is_past(sealed.expires_at) || self.is_revoked(sealed, at) {
            return self.answer(reply, false);
        }
        if !self.has_room_or_sweeps(at) {
            return refuse(reply);
        }
        let (id, until) = (sealed.id, sealed.expires_at);
        self.entries.push(Entry::Revoked { id, until });
        self.revoked.insert(id, until);
        self.answer(reply, true);
    }

    pub(super) fn sweep(&mut self, at: Moment, reply: Reply<()>) {
        self.end_those(self.memory.over_in_next_step(at));
        self.answer(reply, ());
    }

    /// Answers once the journal has taken what came before.
    pub(super) fn answer_after_commit(&mut self, reply: Reply<()>) {
        self.answer(reply, ());
    }

    /// Last uses, which are written along but wait for nothing.
    pub(super) fn seen(&mut self, seen: &HashMap<SessionId, Timestamp>) {
        let entries = seen.iter().map(|(&id, &at)| Entry::Seen { id, at });
        self.entries.extend(entries);
    }

    /// What the journal is to hold before anybody is answered.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The journal holds it: the memory follows, then the callers hear of it.
    pub(super) fn succeed(self) {
        for id in &self.removed {
            self.memory.remove(id);
        }
        for session in self.added.values() {
            self.memory.restore(session);
        }
        for (id, until) in self.revoked {
            self.memory.restore_revocation(id, until);
        }
        for (user, mark) in self.marks {
            self.memory.restore_mark(user, mark);
        }
        call_all(self.callbacks, Ok(()));
    }

    /// What answers the calls of a batch that was not written, or of which that is not known yet. The memory
    /// stays as it was.
    pub(super) fn into_callbacks(self) -> Vec<Callback> {
        self.callbacks
    }

    /// Takes the session out, over or not, unless this batch has done so already.
    fn end(&mut self, id: &SessionId) -> Option<Session> {
        let session = match self.added.remove(id) {
            // The memory never had it, so its end makes no room there.
            Some(added) => added,
            None if self.removed.contains(id) => return None,
            None => {
                let kept = self.memory.peek(id)?;
                self.removed.insert(*id);
                kept
            }
        };
        self.entries.push(Entry::Ended { id: *id });
        Some(session)
    }

    fn keeps(&self, id: &SessionId) -> bool {
        let was_kept = || self.memory.peek(id).is_some();
        self.added.contains_key(id) || (!self.removed.contains(id) && was_kept())
    }

    fn end_those(&mut self, ids: Vec<SessionId>) {
        for id in ids {
            self.end(&id);
        }
    }

    /// Sets the user's mark, or moves it; `false` if there is no room for one.
    fn mark(&mut self, user: &User, at: Moment, until: Timestamp, has_room: bool) -> bool {
        let (mut mark, known) = (Mark::at(at, until), self.mark_of(user));
        if let Some(known) = known {
            mark = known.followed_by(mark, user);
            if mark == known {
                return true;
            }
        } else {
            if !has_room && !self.has_room_or_sweeps(at) {
                return false;
            }
            self.new_marks += 1;
        }
        self.entries.push(Entry::Marked {
            user: user.clone(),
            mark,
        });
        self.marks.insert(user.clone(), mark);
        true
    }

    fn mark_of(&self, user: &User) -> Option<Mark> {
        let staged = self.marks.get(user).copied();
        staged.or_else(|| self.memory.mark_of(user))
    }

    fn is_revoked(&self, sealed: &SealedSession, at: Moment) -> bool {
        let mark = sealed.user.as_ref().and_then(|user| self.mark_of(user));
        mark.is_some_and(|mark| mark.not_before.covers(sealed, at))
            || self.revoked.contains_key(&sealed.id)
            || self.memory.revocation(&sealed.id).is_some()
    }

    fn has_room(&self) -> bool {
        let added = self.added.len() + self.revoked.len() + self.new_marks;
        let kept = self.memory.kept() + added as u64;
        kept.saturating_sub(self.removed.len() as u64) < self.memory.cap()
    }

    fn has_room_or_sweeps(&mut self, at: Moment) -> bool {
        if !self.has_room() {
            self.end_those(self.memory.over_anywhere(at));
        }
        self.has_room()
    }

    fn answer<T: Send + 'static>(&mut self, reply: Reply<T>, value: T) {
        self.callbacks.push(Box::new(move |written| {
            // Whoever waited may have given up; what was decided holds all the same.
            let _ = reply.send(match written {
                Ok(()) => Ok(value),
                Err(fault) => Err(unavailable(fault)),
            });
        }));
    }
}

/// Lets all of them know how it went.
pub(super) fn call_all(callbacks: Vec<Callback>, written: Result<(), &Arc<Fault>>) {
    for call in callbacks {
        call(written);
    }
}

/// What a caller is told about a fault.
pub(super) fn unavailable(fault: &Arc<Fault>) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, fault.class).caused_by(Arc::clone(fault))
}

fn refuse<T>(reply: Reply<T>) {
    let _ = reply.send(Err(StoreError::full()));
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Moment = Moment::of(Timestamp::from_millis(0));

    fn ann() -> User {
        User::new("ann").unwrap()
    }

    fn session(number: u8) -> Session {
        Session {
            id: SessionId::from_bytes([number; 32]),
            user: ann(),
            created_at: AT.now,
            last_seen_at: AT.now,
            expires_at: Timestamp::from_millis(1_000),
            label: None,
        }
    }

    /// Has a call decided; where its answer will be.
    fn ask<T>(call: impl FnOnce(Reply<T>)) -> oneshot::Receiver<Result<T, StoreError>> {
        let (reply, answer) = oneshot::channel();
        call(reply);
        answer
    }

    fn is_ok<T>(mut answer: oneshot::Receiver<Result<T, StoreError>>) -> bool {
        answer.try_recv().unwrap().is_ok()
    }

    #[test]
    fn a_session_added_and_ended_in_one_batch_makes_no_room_for_two() {
        let memory = MemoryStore::new(1);
        let mut batch = Batch::new(&memory);
        let first = ask(|reply| batch.insert(session(1), AT, reply));
        let mut ended = ask(|reply| batch.delete(&session(1).id, AT, reply));
        let second = ask(|reply| batch.insert(session(2), AT, reply));
        let third = ask(|reply| batch.insert(session(3), AT, reply));
        batch.succeed();
        assert_eq!(ended.try_recv().unwrap().unwrap(), Some(session(1)));
        assert_eq!([first, second, third].map(is_ok), [true, true, false]);
        assert_eq!(memory.kept(), 1);
    }

    #[test]
    fn a_mark_that_takes_the_place_of_another_needs_no_room() {
        let memory = MemoryStore::new(2);
        let until = Some(Timestamp::from_millis(1_000));
        let all = Spared::These(Vec::new());
        let now = Timestamp::from_millis(1);
        let later = Moment { now, ..AT };
        let mut batch = Batch::new(&memory);
        let marked = ask(|reply| batch.trim(&ann(), &all, AT, until, reply));
        batch.succeed();
        let mut batch = Batch::new(&memory);
        let moved = ask(|reply| batch.trim(&ann(), &all, later, until, reply));
        let first = ask(|reply| batch.insert(session(1), later, reply));
        let second = ask(|reply| batch.insert(session(2), later, reply));
        batch.succeed();
        assert!(is_ok(marked) && is_ok(moved));
        assert_eq!([first, second].map(is_ok), [true, false]);
        assert_eq!(memory.kept(), 2);
    }
}
