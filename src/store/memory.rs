//! The store that keeps sessions in this process: fast, and forgotten at restart.
//!
//! Sessions lie in 4096 tables, each behind a lock of its own, picked by the digest; an index
//! by user and the revocations of sealed sessions lie beside them in 4096 tables each. What keeps
//! sessions and index in step:
//!
//! - An insert holds the user's lock while it enters the session in both, so whoever finds a
//!   session in its table finds it in the index too.
//! - Whoever takes a session out of its table, and that is exactly one, takes it out of the index.
//! - Revoking all of a user takes each session out of both under the user's lock, so of two that
//!   do so at once neither returns before all are gone.
//!
//! Locks are taken in the order user, then session or revocation, and never two of a kind. None
//! is held across an await.
//!
//! **Pauses.** Nothing holds a lock for longer than it takes to go through one table, about
//! 2,400 sessions when ten million are kept, or through [`BATCH`] sessions of one user; nor does
//! a sweep keep a thread for longer than [`BATCH`] sessions take. `cargo bench --bench store`
//! prints the longest pauses at ten million sessions.

mod index;
mod journaled;
mod tables;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use hashbrown::HashMap;
use parking_lot::{Mutex, MutexGuard};

use crate::session::{
    Moment, SealedSession, Session, SessionId, SessionList, SessionStore, Spared, StoreError,
    Timestamp, Trim, User,
};
use index::{Handle, UserKey};
pub(super) use tables::Mark;
use tables::{Row, Sessions, Users, drop_over, handle_of};

/// How many tables there are of each kind.
const TABLES: usize = 4096;

/// A whole round of [`sweep`](SessionStore::sweep) takes this many steps.
const STEPS_A_ROUND: usize = 256;

/// How many sessions are gone through before others are let at the lock or the thread.
const BATCH: usize = 128;

type Revocations = HashMap<SessionId, Timestamp>;

/// Sessions, and revocations of sealed ones, in this process' memory.
pub struct MemoryStore {
    sessions: Box<[Mutex<Sessions>]>,
    users: Box<[Mutex<Users>]>,
    revoked_until: Box<[Mutex<Revocations>]>,
    user_hasher: RandomState,
    max_sessions: u64,
    len: AtomicU64,
    next_step: AtomicUsize,
    found_full_at: AtomicI64,
}

impl MemoryStore {
    /// An empty store with room for `max_sessions`.
    #[must_use]
    pub fn new(max_sessions: u64) -> Self {
        Self {
            sessions: (0..TABLES).map(|_| Mutex::default()).collect(),
            users: (0..TABLES).map(|_| Mutex::default()).collect(),
            revoked_until: (0..TABLES).map(|_| Mutex::default()).collect(),
            user_hasher: RandomState::new(),
            max_sessions,
            len: AtomicU64::new(0),
            next_step: AtomicUsize::new(0),
            found_full_at: AtomicI64::new(i64::MIN),
        }
    }

    fn table(&self, handle: Handle) -> &Mutex<Sessions> {
        &self.sessions[table_of(handle)]
    }

    fn user_key(&self, user: &User) -> UserKey {
        self.user_hasher.hash_one(user)
    }

    fn user_table(&self, key: UserKey) -> &Mutex<Users> {
        &self.users[table_of(key)]
    }

    /// The locked table of the user a sealed session names, if it names one.
    fn user_of(&self, sealed: &SealedSession) -> Option<MutexGuard<'_, Users>> {
        let user = sealed.user.as_ref()?;
        Some(self.user_table(self.user_key(user)).lock())
    }

    fn revocations(&self, id: &SessionId) -> &Mutex<Revocations> {
        &self.revoked_until[table_of(handle_of(id))]
    }

    /// Counts one more session, revocation or mark in, unless the store is full.
    fn reserve(&self) -> bool {
        self.len
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |len| {
                (len < self.max_sessions).then_some(len + 1)
            })
            .is_ok()
    }

    fn uncount(&self, gone: usize) {
        self.len.fetch_sub(gone as u64, Ordering::Relaxed);
    }

    /// As [`reserve`](Self::reserve), but a full store first looks for what is over. All callers
    /// share the work of one round, and after one that found nothing the store stays full for a
    /// while, so that a flood of logins cannot turn into a flood of sweeps.
    async fn reserve_or_sweep(&self, at: Moment) -> Result<(), StoreError> {
        if self.reserve() {
            return Ok(());
        }
        if self.may_look_for_room(at) {
            let first = self.next_step.load(Ordering::Relaxed);
            while self.next_step.load(Ordering::Relaxed).wrapping_sub(first) < STEPS_A_ROUND {
                self.sweep_step(at).await;
                if self.reserve() {
                    return Ok(());
                }
            }
            self.found_nothing(at);
        }
        Err(StoreError::full())
    }

    fn may_look_for_room(&self, at: Moment) -> bool {
        let pause = (self.max_sessions / 10_000).clamp(10, 1000);
        let last = self.found_full_at.load(Ordering::Relaxed);
        // A distance and not a difference: a clock that was set back must not silence this.
        at.now.as_millis().abs_diff(last) >= pause
    }

    fn found_nothing(&self, at: Moment) {
        self.found_full_at
            .store(at.now.as_millis(), Ordering::Relaxed);
    }

    /// Goes through the next few tables of each kind, and lets other tasks run after each.
    async fn sweep_step(&self, at: Moment) {
        let step = self.next_step.fetch_add(1, Ordering::Relaxed) % STEPS_A_ROUND;
        for table in (step..TABLES).step_by(STEPS_A_ROUND) {
            self.sweep_revocations(table, at);
            self.sweep_sessions(&self.sessions[table], at).await;
        }
    }

    /// Drops the marks and revocations of one table that are over.
    fn sweep_revocations(&self, table: usize, at: Moment) {
        let over = |mark: &Mark| at.is_past(mark.until);
        let mut users = self.users[table].lock();
        self.uncount(drop_over(&mut users.marks, over));
        users.index.shrink();
        drop(users);
        let over = |until: &Timestamp| at.is_past(*until);
        self.uncount(drop_over(&mut self.revoked_until[table].lock(), over));
    }

    async fn sweep_sessions(&self, table: &Mutex<Sessions>, at: Moment) {
        let mut end = usize::MAX;
        while end > 0 {
            // No await before all are forgotten: the future may be dropped at any.
            let over = table.lock().take_over(&mut end, BATCH, at);
            for session in over {
                self.forget(&session);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Enters a session in its table and in the index, unless it is there; says whether it did.
    fn enter(&self, session: &Session) -> bool {
        let (key, handle) = (self.user_key(&session.user), handle_of(&session.id));
        let mut users = self.user_table(key).lock();
        // All sessions of a user share one copy of the name.
        let sibling = users
            .index
            .first(key)
            .and_then(|handle| self.look(handle, |sibling| sibling.user == session.user));
        let user = sibling.map_or_else(|| session.user.clone(), |sibling| sibling.user);
        let is_new = self.table(handle).lock().add(Session {
            user,
            ..session.clone()
        });
        if is_new {
            users.index.insert(key, handle);
        }
        is_new
    }

    /// Copies of the user's sessions, over or not, in no order.
    fn look_at_all(&self, user: &User) -> Vec<Session> {
        let key = self.user_key(user);
        let mut sessions = Vec::new();
        for_each_handle(&mut self.user_table(key).lock(), key, |_, handle| {
            sessions.extend(self.look(handle, |session| is_indexed_as(session, handle, user)));
        });
        sessions
    }

    /// A copy of the session at `handle`, if it is the one.
    fn look(&self, handle: Handle, is_it: impl Fn(&Row) -> bool) -> Option<Session> {
        self.table(handle).lock().get(handle, is_it)
    }

    /// A copy of the live session of this id.
    fn live(&self, id: &SessionId, at: Moment) -> Option<Session> {
        let found = self.look(handle_of(id), |session| session.id == *id);
        found.filter(|session| at.is_live(session))
    }

    /// Removes the session of this id; what it was if it was live.
    fn take_live(&self, id: &SessionId, at: Moment) -> Option<Session> {
        let session = self.take(handle_of(id), |session| session.id == *id)?;
        self.forget(&session);
        at.is_live(&session).then_some(session)
    }

    /// Takes the session at `handle` out of its table, if it is the one.
    fn take(&self, handle: Handle, is_it: impl Fn(&Row) -> bool) -> Option<Session> {
        self.table(handle).lock().take(handle, is_it)
    }

    /// What remains to be done for a session that was just taken out of its table.
    fn forget(&self, session: &Session) {
        self.uncount(1);
        let key = self.user_key(&session.user);
        let mut users = self.user_table(key).lock();
        users.index.remove(key, handle_of(&session.id));
    }

    /// Sets the user's mark, or moves it. Room for one may be `reserved`, or may just have been
    /// made.
    fn mark(
        &self,
        user: &User,
        table: &mut Users,
        mark: Mark,
        (reserved, has_room): (bool, bool),
    ) -> Result<(), StoreError> {
        if let Some(known) = table.marks.get_mut(user) {
            *known = known.followed_by(mark, user);
            self.uncount(usize::from(reserved));
            return Ok(());
        }
        if !has_room {
            return Err(StoreError::full());
        }
        if !reserved {
            self.len.fetch_add(1, Ordering::Relaxed);
        }
        table.marks.insert(user.clone(), mark);
        Ok(())
    }

    /// How many users are in the index; for tests that look for leaks.
    #[must_use]
    pub fn indexed_users(&self) -> usize {
        let users = |table: &Mutex<Users>| table.lock().index.users();
        self.users.iter().map(users).sum()
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn insert(&self, session: Session, at: Moment) -> Result<(), StoreError> {
        self.reserve_or_sweep(at).await?;
        if !self.enter(&session) {
            // Asked again.
            self.uncount(1);
        }
        Ok(())
    }

    async fn find(&self, id: &SessionId, at: Moment) -> Result<Option<Session>, StoreError> {
        Ok(self.live(id, at))
    }

    fn find_at_once(
        &self,
        id: &SessionId,
        at: Moment,
    ) -> Option<Result<Option<Session>, StoreError>> {
        Some(Ok(self.live(id, at)))
    }

    async fn touch(&self, id: &SessionId, at: Moment) -> Result<bool, StoreError> {
        let mut table = self.table(handle_of(id)).lock();
        let found = table.get_mut(id);
        let Some(live) = found.filter(|session| at.is_live(session)) else {
            return Ok(false);
        };
        live.last_seen_at = live.last_seen_at.max(at.now);
        Ok(true)
    }

    async fn delete(&self, id: &SessionId, at: Moment) -> Result<Option<Session>, StoreError> {
        Ok(self.take_live(id, at))
    }

    fn delete_at_once(
        &self,
        id: &SessionId,
        at: Moment,
    ) -> Option<Result<Option<Session>, StoreError>> {
        Some(Ok(self.take_live(id, at)))
    }

    async fn list(&self, user: &User, at: Moment) -> Result<SessionList, StoreError> {
        let sessions = self.look_at_all(user).into_iter();
        Ok(SessionList::of(
            sessions.filter(|session| at.is_live(session)),
        ))
    }

    async fn trim(
        &self,
        user: &User,
        spared: &Spared,
        at: Moment,
        seals_until: Option<Timestamp>,
    ) -> Result<Vec<Session>, StoreError> {
        let reserved = seals_until.is_some() && self.reserve_or_sweep(at).await.is_ok();
        let key = self.user_key(user);
        let mut users = self.user_table(key).lock();
        let (mut trim, mut removed) = (Trim::new(spared, at), Vec::new());
        for_each_handle(&mut users, key, |users, handle| {
            let seen = self.look(handle, |session| is_indexed_as(session, handle, user));
            let Some(id) = seen.and_then(|session| trim.see(&session)) else {
                return;
            };
            let handle = handle_of(&id);
            // What another has taken is his to remove from the index.
            if let Some(session) = self.take(handle, |session| session.id == id) {
                users.index.remove(key, handle);
                self.uncount(1);
                removed.push(session);
            }
        });
        if let Some(until) = seals_until {
            // What was removed has made room.
            let has_room = reserved || !removed.is_empty();
            self.mark(user, &mut users, Mark::at(at, until), (reserved, has_room))?;
        }
        removed.retain(|session| at.is_live(session));
        Ok(removed)
    }

    async fn revoke_sealed(&self, sealed: &SealedSession, at: Moment) -> Result<bool, StoreError> {
        // Asked before there need be room: a full store can still say that it was over already.
        if at.is_past(sealed.expires_at) || self.is_revoked(sealed, at).await? {
            return Ok(false);
        }
        self.reserve_or_sweep(at).await?;
        // The user's lock is held throughout: revoking all of the user is before this or after.
        let users = self.user_of(sealed);
        let mut revocations = self.revocations(&sealed.id).lock();
        let over = users.as_ref().is_some_and(|users| users.covers(sealed, at))
            || revocations.contains_key(&sealed.id);
        if over {
            self.uncount(1);
        } else {
            revocations.insert(sealed.id, sealed.expires_at);
        }
        Ok(!over)
    }

    async fn is_revoked(&self, sealed: &SealedSession, at: Moment) -> Result<bool, StoreError> {
        let by_user = self
            .user_of(sealed)
            .is_some_and(|users| users.covers(sealed, at));
        Ok(by_user || self.revocations(&sealed.id).lock().contains_key(&sealed.id))
    }

    async fn sweep(&self, at: Moment) -> Result<(), StoreError> {
        self.sweep_step(at).await;
        Ok(())
    }

    async fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn approximate_len(&self) -> Option<u64> {
        Some(self.len.load(Ordering::Relaxed))
    }
}

/// Goes through a user's sessions under the lock of the table, and lets others that wait for it
/// in between: a user with a million sessions is no reason for everyone to stand still. It never
/// awaits, so the call it serves cannot be dropped half-way.
fn for_each_handle(
    users: &mut MutexGuard<'_, Users>,
    key: UserKey,
    mut visit: impl FnMut(&mut Users, Handle),
) {
    let mut first = 0;
    loop {
        let batch = users.index.batch(key, first, BATCH);
        for handle in &batch {
            visit(users, *handle);
        }
        match batch.get(BATCH - 1).and_then(|last| last.checked_add(1)) {
            Some(next) => first = next,
            None => return,
        }
        MutexGuard::bump(users);
    }
}

/// Which table. The hash tables inside use the low and the very high bits; these are others.
const fn table_of(hash: u64) -> usize {
    (hash >> 40) as usize % TABLES
}

fn is_indexed_as(session: &Row, handle: Handle, user: &User) -> bool {
    handle_of(&session.id) == handle && session.user == *user
}
