//! What a journal asks of the sessions in memory: to look without judging, and to do as told.
//!
//! The durable store decides what happens (room, liveness, who gets a session) and tells its
//! memory the outcome once that is on disk. So nothing here looks at a deadline or at the cap,
//! except where it says so. The caller has one writer: two of these calls never race to change
//! one session, while the readers of [`SessionStore`](crate::session::SessionStore) may run
//! alongside at any time.

use super::{
    Mark, MemoryStore, Moment, Ordering, REVOCATION_TABLES, STEPS_A_ROUND, Session, SessionId,
    Timestamp, USER_TABLES, User, handle_of, is_indexed_as,
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
        let handle = handle_of(id);
        let table = self.table(handle).lock();
        let found = table.find(handle, |session| session.id == *id);
        found.map(|session| (**session).clone())
    }

    /// All sessions of the user, over or not.
    pub(in crate::store) fn peek_all(&self, user: &User) -> Vec<Session> {
        let index = self.user_table(user).lock();
        let handles = index.handles.get(user).into_iter().flatten();
        handles
            .filter_map(|&handle| {
                let table = self.table(handle).lock();
                let found = table.find(handle, |session| is_indexed_as(session, handle, user));
                found.map(|session| (**session).clone())
            })
            .collect()
    }

    /// Keeps a session whether or not there is room. One that is kept already only moves its
    /// last use forward.
    pub(in crate::store) fn restore(&self, session: &Session) {
        let handle = handle_of(&session.id);
        let mut users = self.user_table(&session.user).lock();
        let mut table = self.table(handle).lock();
        if let Some(known) = table.find_mut(handle, |known| known.id == session.id) {
            known.last_seen_at = known.last_seen_at.max(session.last_seen_at);
            return;
        }
        let entry = users.handles.entry(session.user.clone());
        let user = entry.key().clone();
        entry.or_default().push(handle);
        // The session shares the index' copy of its user's name.
        let session = Box::new(Session {
            user,
            ..session.clone()
        });
        table.insert_unique(handle, session, |session| handle_of(&session.id));
        self.len.fetch_add(1, Ordering::Relaxed);
    }

    /// Removes a session, over or not.
    pub(in crate::store) fn remove(&self, id: &SessionId) {
        if let Some(session) = self.take(handle_of(id), |session| session.id == *id) {
            self.forget(&session);
        }
    }

    /// Moves a session's last use forward, if it is kept.
    pub(in crate::store) fn seen(&self, id: &SessionId, at: Timestamp) {
        let handle = handle_of(id);
        let mut table = self.table(handle).lock();
        if let Some(session) = table.find_mut(handle, |session| session.id == *id) {
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
        self.user_table(user).lock().marks.get(user).copied()
    }

    /// Replaces the user's mark.
    pub(in crate::store) fn restore_mark(&self, user: User, mark: Mark) {
        let mut table = self.user_table(&user).lock();
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

    /// The same for all tables, at most once a second of `at`.
    pub(in crate::store) fn over_anywhere(&self, at: Moment) -> Vec<SessionId> {
        if !self.may_sweep_fully(at) {
            return Vec::new();
        }
        let steps = 0..STEPS_A_ROUND;
        steps.flat_map(|step| self.over_in(step, at)).collect()
    }

    fn over_in(&self, step: usize, at: Moment) -> Vec<SessionId> {
        self.sweep_marks(&self.users[step % USER_TABLES], at);
        self.sweep_revocations(&self.revoked_until[step % REVOCATION_TABLES], at);
        let mut over = Vec::new();
        for tables in self.sessions.chunks(STEPS_A_ROUND) {
            let table = tables[step].lock();
            let gone = table.iter().filter(|session| !at.is_live(session));
            over.extend(gone.map(|session| session.id));
        }
        over
    }
}
