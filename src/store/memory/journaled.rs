//! What a journal asks of the sessions in memory: to look without judging, and to do as told.
//!
//! The durable store decides what happens (room, liveness, who gets a session) and tells its
//! memory the outcome once that is on disk. So nothing here looks at a deadline or at the cap,
//! except where it says so. The caller has one writer: two of these calls never race to change
//! one session, while the readers of [`SessionStore`](crate::session::SessionStore) may run
//! alongside at any time.

use super::{
    Mark, MemoryStore, Moment, Ordering, STEPS_A_ROUND, Session, SessionId, TABLES, Timestamp,
    User, handle_of,
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
        self.look(handle_of(id), |session| session.id == *id)
    }

    /// All sessions of the user, over or not.
    pub(in crate::store) fn peek_all(&self, user: &User) -> Vec<Session> {
        self.look_at_all(user)
    }

    /// Keeps a session whether or not there is room. One that is kept already only moves its
    /// last use forward.
    pub(in crate::store) fn restore(&self, session: &Session) {
        if self.enter(session) {
            self.len.fetch_add(1, Ordering::Relaxed);
        } else {
            self.seen(&session.id, session.last_seen_at);
        }
    }

    /// Removes a session, over or not.
    pub(in crate::store) fn remove(&self, id: &SessionId) {
        if let Some(session) = self.take(handle_of(id), |session| session.id == *id) {
            self.forget(&session);
        }
    }

    /// Moves a session's last use forward, if it is kept.
    pub(in crate::store) fn seen(&self, id: &SessionId, at: Timestamp) {
        if let Some(session) = self.table(handle_of(id)).lock().get_mut(id) {
            session.last_seen_at = session.last_seen_at.max(at);
        }
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

    /// The sessions that are over in one sweep step's share of the tables, still kept. Marks and
    /// revocations that are over are dropped at once: their end is a fixed moment, so a journal
    /// that still names them cannot bring them back to any effect.
    pub(in crate::store) fn over_in_next_step(&self, at: Moment) -> Vec<SessionId> {
        let step = self.next_step.fetch_add(1, Ordering::Relaxed) % STEPS_A_ROUND;
        self.over_in(step, at)
    }

    /// The same for all tables, for a full store that looks for room. After a look that found
    /// nothing it does not look again for a while.
    pub(in crate::store) fn over_anywhere(&self, at: Moment) -> Vec<SessionId> {
        if !self.may_look_for_room(at) {
            return Vec::new();
        }
        let steps = 0..STEPS_A_ROUND;
        let over: Vec<SessionId> = steps.flat_map(|step| self.over_in(step, at)).collect();
        if over.is_empty() {
            self.found_nothing(at);
        }
        over
    }

    fn over_in(&self, step: usize, at: Moment) -> Vec<SessionId> {
        let mut over = Vec::new();
        for table in (step..TABLES).step_by(STEPS_A_ROUND) {
            self.sweep_revocations(table, at);
            over.extend(self.sessions[table].lock().ids_over(at));
        }
        over
    }
}
