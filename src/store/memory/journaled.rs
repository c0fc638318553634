//! What a journal asks of the sessions in memory: to look without judging, and to do as told.
//!
//! The durable store decides what happens (room, liveness, who gets a session) and tells its
//! memory the outcome once that is on disk. So nothing here looks at a deadline or at the cap,
//! except where it says so. The caller has one writer: two of these calls never race to change
//! one session, while the readers of [`SessionStore`](crate::session::SessionStore) may run
//! alongside at any time.

use super::{
    BATCH, Mark, MemoryStore, Moment, Ordering, Session, SessionId, TABLES, Timestamp, User, Walk,
};

impl MemoryStore {
    /// How many sessions, revocations and marks are kept.
    pub(in crate::store) fn kept(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    /// How many may be kept.
    pub(in crate::store) fn cap(&self) -> u64 {
        self.max_sessions
    }

    /// The session of this id, over or not.
    pub(in crate::store) fn peek(&self, id: &SessionId) -> Option<Session> {
        self.look(id)
    }

    /// All sessions of the user, over or not.
    pub(in crate::store) fn peek_all(&self, user: &User) -> Vec<Session> {
        self.look_at_all(user)
    }

    /// Keeps a session whether or not there is room. One that is kept already only moves its
    /// last use forward.
    pub(in crate::store) fn restore(&self, session: &Session) {
        if self.enter(session.clone()) {
            self.len.fetch_add(1, Ordering::Relaxed);
        } else {
            self.seen(&session.id, session.last_seen_at);
        }
    }

    /// Removes a session, over or not.
    pub(in crate::store) fn remove(&self, id: &SessionId) {
        self.take(id);
    }

    /// Moves a session's last use forward, if it is kept.
    pub(in crate::store) fn seen(&self, id: &SessionId, at: Timestamp) {
        self.used(id, at, |_| true);
    }

    /// Until when the revocation of this sealed session is remembered, if it is.
    pub(in crate::store) fn revocation(&self, id: &SessionId) -> Option<Timestamp> {
        self.revocations(id).lock().get(id).copied()
    }

    /// Remembers the revocation of a sealed session.
    pub(in crate::store) fn restore_revocation(&self, id: SessionId, until: Timestamp) {
        if self.revocations(&id).lock().insert(id, until).is_none() {
            self.len.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The user's mark.
    pub(in crate::store) fn mark_of(&self, user: &User) -> Option<Mark> {
        self.user_table(self.user_key(user))
            .lock()
            .marks
            .get(user)
            .copied()
    }

    /// Replaces the user's mark.
    pub(in crate::store) fn restore_mark(&self, user: User, mark: Mark) {
        let mut table = self.user_table(self.user_key(&user)).lock();
        if table.marks.insert(user, mark).is_none() {
            self.len.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The sessions that are over in one sweep step's table, still kept. Marks and
    /// revocations that are over are dropped at once: their end is a fixed moment, so a journal
    /// that still names them cannot bring them back to any effect.
    pub(in crate::store) fn over_in_next_step(&self, at: Moment) -> Vec<SessionId> {
        self.over_in(self.next_table(), at)
    }

    /// The same for all tables, for a full store that looks for room. After a look that found
    /// nothing it does not look again for a while.
    pub(in crate::store) fn over_anywhere(&self, at: Moment) -> Vec<SessionId> {
        if !self.may_look_for_room(at) {
            return Vec::new();
        }
        let tables = 0..TABLES;
        let over: Vec<SessionId> = tables.flat_map(|table| self.over_in(table, at)).collect();
        if over.is_empty() {
            self.found_nothing(at);
        }
        over
    }

    fn over_in(&self, table: usize, at: Moment) -> Vec<SessionId> {
        self.sweep_revocations(table, at);
        let (mut over, mut walk) = (Vec::new(), Walk::default());
        while !walk.is_done {
            let some = self.users[table].lock().some_over(&mut walk, BATCH, at);
            over.extend(some.into_iter().map(|(_, id)| id));
        }
        over
    }
}
