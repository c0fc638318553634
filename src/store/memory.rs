//! The store that keeps sessions in this process: fast, and forgotten at restart.
//!
//! Sessions lie in 4096 tables, each behind a lock of its own, picked by the digest; an index
//! by user lies beside them in 256 more. What keeps the two in step:
//!
//! - An insert holds the user's lock while it enters the session in both, so whoever finds a
//!   session in its table finds it in the index too.
//! - Whoever takes a session out of its table, and that is exactly one, takes it out of the index.
//! - Revoking all of a user holds the user's lock throughout: a login is before it or after it.
//!
//! Locks are taken in the order user, then session, and never two of a kind.
//!
//! **Pauses.** Nothing holds a lock for longer than it takes to go through one table: about
//! 2,400 sessions when ten million are kept. The longest of all sweep steps at ten million
//! sessions is printed by `cargo bench --bench store`; see there for the figure.

mod journaled;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use hashbrown::{HashMap, HashTable};
use parking_lot::Mutex;

use crate::session::{
    Moment, SealedSession, Session, SessionId, SessionStore, StoreError, StoreErrorKind, Timestamp,
    User,
};

const SESSION_TABLES: usize = 4096;
const USER_TABLES: usize = 256;
const REVOCATION_TABLES: usize = 256;

/// A whole round of [`sweep`](SessionStore::sweep) takes this many steps.
const STEPS_A_ROUND: usize = 256;

/// When the store is full it looks for sessions that are over at most this often, in
/// milliseconds, so that a flood of logins cannot turn into a flood of sweeps.
const FULL_SWEEP_INTERVAL: i64 = 1000;

/// The session's place: the first eight bytes of its digest. Uniform, and not for an attacker
/// to choose, since only tokens made here are ever entered. It is the hash in the session's
/// table and all that the user index keeps.
type Handle = u64;

/// What is kept by user, behind one lock: the sessions' places, and the moment before which the
/// user's sealed sessions are revoked.
#[derive(Default)]
struct UserTable {
    handles: HashMap<User, Vec<Handle>>,
    marks: HashMap<User, Mark>,
}

/// Sealed sessions created up to `not_before` are revoked; remembered until `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) not_before: Timestamp,
    pub(super) until: Timestamp,
}

impl Mark {
    /// The mark that both of these set: each moment only moves forward.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            not_before: self.not_before.max(other.not_before),
            until: self.until.max(other.until),
        }
    }

    /// Whether it revokes this sealed session of its user.
    pub(super) fn covers(self, sealed: &SealedSession) -> bool {
        sealed.created_at <= self.not_before
    }
}

/// Sessions, and revocations of sealed ones, in this process' memory.
pub struct MemoryStore {
    sessions: Box<[Mutex<HashTable<Box<Session>>>]>,
    users: Box<[Mutex<UserTable>]>,
    revoked_until: Box<[Mutex<HashMap<SessionId, Timestamp>>]>,
    user_hasher: RandomState,
    max_sessions: u64,
    len: AtomicU64,
    next_step: AtomicUsize,
    last_full_sweep: AtomicI64,
}

impl MemoryStore {
    /// An empty store with room for `max_sessions`.
    #[must_use]
    pub fn new(max_sessions: u64) -> Self {
        Self {
            sessions: (0..SESSION_TABLES).map(|_| Mutex::default()).collect(),
            users: (0..USER_TABLES).map(|_| Mutex::default()).collect(),
            revoked_until: (0..REVOCATION_TABLES).map(|_| Mutex::default()).collect(),
            user_hasher: RandomState::new(),
            max_sessions,
            len: AtomicU64::new(0),
            next_step: AtomicUsize::new(0),
            last_full_sweep: AtomicI64::new(i64::MIN),
        }
    }

    fn table(&self, handle: Handle) -> &Mutex<HashTable<Box<Session>>> {
        // The hash table below uses the low and the very high bits; these are others.
        &self.sessions[(handle >> 40) as usize % SESSION_TABLES]
    }

    fn user_table(&self, user: &User) -> &Mutex<UserTable> {
        &self.users[(self.user_hasher.hash_one(user) >> 40) as usize % USER_TABLES]
    }

    fn revocations(&self, id: &SessionId) -> &Mutex<HashMap<SessionId, Timestamp>> {
        &self.revoked_until[(handle_of(id) >> 40) as usize % REVOCATION_TABLES]
    }

    /// Counts one more session or revocation in, unless the store is full.
    fn reserve(&self) -> bool {
        self.len
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |len| {
                (len < self.max_sessions).then_some(len + 1)
            })
            .is_ok()
    }

    /// Whether this caller may look for room in a full store now.
    fn may_sweep_fully(&self, at: Moment) -> bool {
        let now = at.now.as_millis();
        self.last_full_sweep
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                (now.saturating_sub(last) >= FULL_SWEEP_INTERVAL).then_some(now)
            })
            .is_ok()
    }

    async fn reserve_or_sweep(&self, at: Moment) -> Result<(), StoreError> {
        if self.reserve() {
            return Ok(());
        }
        if self.may_sweep_fully(at) {
            for step in 0..STEPS_A_ROUND {
                self.sweep_step(step, at);
                tokio::task::yield_now().await;
            }
        }
        self.reserve().then_some(()).ok_or_else(full)
    }

    fn sweep_step(&self, step: usize, at: Moment) {
        for tables in self.sessions.chunks(STEPS_A_ROUND) {
            self.sweep_sessions(&tables[step], at);
        }
        self.sweep_marks(&self.users[step % USER_TABLES], at);
        self.sweep_revocations(&self.revoked_until[step % REVOCATION_TABLES], at);
    }

    fn sweep_marks(&self, table: &Mutex<UserTable>, at: Moment) {
        let mut table = table.lock();
        let over = table.marks.extract_if(|_, mark| mark.until <= at.now);
        self.uncount(over.count());
        shrink_map(&mut table.marks);
    }

    fn sweep_revocations(&self, table: &Mutex<HashMap<SessionId, Timestamp>>, at: Moment) {
        let mut table = table.lock();
        let over = table.extract_if(|_, until| *until <= at.now);
        self.uncount(over.count());
        shrink_map(&mut table);
    }

    fn sweep_sessions(&self, table: &Mutex<HashTable<Box<Session>>>, at: Moment) {
        let mut over: Vec<Box<Session>> = Vec::new();
        {
            let mut table = table.lock();
            over.extend(table.extract_if(|session| !at.is_live(session)));
            if is_sparse(table.capacity(), table.len()) {
                table.shrink_to(0, |session| handle_of(&session.id));
            }
        }
        for session in over {
            self.forget(&session);
        }
    }

    /// Takes a session out of its table.
    fn take(&self, handle: Handle, is_it: impl Fn(&Session) -> bool) -> Option<Box<Session>> {
        let mut table = self.table(handle).lock();
        let entry = table.find_entry(handle, |session| is_it(session)).ok()?;
        Some(entry.remove().0)
    }

    /// What remains to be done for a session that was just taken out of its table.
    fn forget(&self, session: &Session) {
        self.uncount(1);
        let handle = handle_of(&session.id);
        let mut table = self.user_table(&session.user).lock();
        if let Some(handles) = table.handles.get_mut(&session.user) {
            if let Some(position) = handles.iter().position(|known| *known == handle) {
                handles.swap_remove(position);
            }
            if handles.is_empty() {
                table.handles.remove(&session.user);
                shrink_map(&mut table.handles);
            }
        }
    }

    /// Sets the user's mark, or moves it forward.
    fn mark(&self, table: &mut UserTable, user: &User, mark: Mark) -> Result<(), StoreError> {
        if let Some(known) = table.marks.get_mut(user) {
            *known = known.and(mark);
            return Ok(());
        }
        // A user with sessions is about to lose them, so there will be room.
        if !self.reserve() {
            if !table.handles.contains_key(user) {
                return Err(full());
            }
            self.len.fetch_add(1, Ordering::Relaxed);
        }
        table.marks.insert(user.clone(), mark);
        Ok(())
    }

    fn uncount(&self, gone: usize) {
        self.len.fetch_sub(gone as u64, Ordering::Relaxed);
    }

    /// How many users are in the index; for tests that look for leaks.
    #[must_use]
    pub fn indexed_users(&self) -> usize {
        let indexed = |table: &Mutex<UserTable>| table.lock().handles.len();
        self.users.iter().map(indexed).sum()
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn insert(&self, session: Session, at: Moment) -> Result<(), StoreError> {
        self.reserve_or_sweep(at).await?;
        let handle = handle_of(&session.id);
        let mut table = self.user_table(&session.user).lock();
        // The session shares the index' copy of its user's name.
        let entry = table.handles.entry(session.user.clone());
        let user = entry.key().clone();
        entry.or_default().push(handle);
        self.table(handle).lock().insert_unique(
            handle,
            Box::new(Session { user, ..session }),
            |session| handle_of(&session.id),
        );
        Ok(())
    }

    async fn find(&self, id: &SessionId, at: Moment) -> Result<Option<Session>, StoreError> {
        let handle = handle_of(id);
        let table = self.table(handle).lock();
        let found = table.find(handle, |session| session.id == *id);
        Ok(found
            .filter(|session| at.is_live(session))
            .map(|session| (**session).clone()))
    }

    async fn touch(&self, id: &SessionId, at: Moment) -> Result<bool, StoreError> {
        let handle = handle_of(id);
        let mut table = self.table(handle).lock();
        let found = table.find_mut(handle, |session| session.id == *id);
        let live = found.filter(|session| at.is_live(session));
        Ok(live
            .map(|session| session.last_seen_at = session.last_seen_at.max(at.now))
            .is_some())
    }

    async fn delete(&self, id: &SessionId, at: Moment) -> Result<Option<Session>, StoreError> {
        let handle = handle_of(id);
        let removed = self.take(handle, |session| session.id == *id);
        Ok(removed.and_then(|session| {
            self.forget(&session);
            at.is_live(&session).then_some(*session)
        }))
    }

    async fn list(&self, user: &User, at: Moment) -> Result<Vec<Session>, StoreError> {
        let index = self.user_table(user).lock();
        let mut sessions: Vec<Session> = Vec::new();
        for &handle in index.handles.get(user).into_iter().flatten() {
            let table = self.table(handle).lock();
            let found = table.find(handle, |session| is_indexed_as(session, handle, user));
            sessions.extend(
                found
                    .filter(|session| at.is_live(session))
                    .map(|session| (**session).clone()),
            );
        }
        drop(index);
        sessions.sort_by_key(|session| (session.created_at, session.id));
        Ok(sessions)
    }

    async fn delete_all(
        &self,
        user: &User,
        at: Moment,
        seals_until: Option<Timestamp>,
    ) -> Result<Vec<Session>, StoreError> {
        let mut table = self.user_table(user).lock();
        if let Some(until) = seals_until {
            self.mark(
                &mut table,
                user,
                Mark {
                    not_before: at.now,
                    until,
                },
            )?;
        }
        let mut ended = Vec::new();
        for handle in table.handles.remove(user).unwrap_or_default() {
            let removed = self.take(handle, |session| is_indexed_as(session, handle, user));
            if let Some(session) = removed {
                self.uncount(1);
                ended.extend(at.is_live(&session).then_some(*session));
            }
        }
        Ok(ended)
    }

    async fn revoke_sealed(&self, sealed: &SealedSession, at: Moment) -> Result<bool, StoreError> {
        self.reserve_or_sweep(at).await?;
        // The user's lock is held throughout: revoking all of the user is before this or after.
        let table = sealed
            .user
            .as_ref()
            .map(|user| self.user_table(user).lock());
        let mut revocations = self.revocations(&sealed.id).lock();
        let over = table.as_ref().is_some_and(|table| table.covers(sealed))
            || revocations.contains_key(&sealed.id);
        if over {
            self.uncount(1);
        } else {
            revocations.insert(sealed.id, sealed.expires_at);
        }
        Ok(!over)
    }

    async fn is_revoked(&self, sealed: &SealedSession, _at: Moment) -> Result<bool, StoreError> {
        let table = sealed
            .user
            .as_ref()
            .map(|user| self.user_table(user).lock());
        Ok(table.is_some_and(|table| table.covers(sealed))
            || self.revocations(&sealed.id).lock().contains_key(&sealed.id))
    }

    async fn sweep(&self, at: Moment) -> Result<(), StoreError> {
        if self.len.load(Ordering::Relaxed) > 0 {
            let step = self.next_step.fetch_add(1, Ordering::Relaxed);
            self.sweep_step(step % STEPS_A_ROUND, at);
        }
        Ok(())
    }

    async fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn approximate_len(&self) -> Option<u64> {
        Some(self.len.load(Ordering::Relaxed))
    }
}

impl UserTable {
    /// Whether this sealed session of one of the table's users was revoked with its user's others.
    fn covers(&self, sealed: &SealedSession) -> bool {
        let mark = sealed.user.as_ref().and_then(|user| self.marks.get(user));
        mark.is_some_and(|mark| mark.covers(sealed))
    }
}

fn full() -> StoreError {
    StoreError::new(StoreErrorKind::Full, "max_sessions")
}

/// Whether a table of this capacity is worth making smaller.
fn is_sparse(capacity: usize, len: usize) -> bool {
    capacity > 4 * len.max(16)
}

fn shrink_map<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    if is_sparse(map.capacity(), map.len()) {
        map.shrink_to_fit();
    }
}

fn handle_of(id: &SessionId) -> Handle {
    let first_eight = id.as_bytes().first_chunk().copied();
    Handle::from_le_bytes(first_eight.unwrap_or_default())
}

fn is_indexed_as(session: &Session, handle: Handle, user: &User) -> bool {
    handle_of(&session.id) == handle && session.user == *user
}
