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

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use hashbrown::{HashMap, HashTable};
use parking_lot::Mutex;

use crate::session::{
    Moment, Session, SessionId, SessionStore, StoreError, StoreErrorKind, User,
};

const SESSION_TABLES: usize = 4096;
const USER_TABLES: usize = 256;

/// A [`sweep`](SessionStore::sweep) step goes through this many tables; a whole round is 256
/// steps.
const TABLES_A_STEP: usize = 16;

/// When the store is full it looks for sessions that are over at most this often, in
/// milliseconds, so that a flood of logins cannot turn into a flood of sweeps.
const FULL_SWEEP_INTERVAL: i64 = 1000;

/// The session's place: the first eight bytes of its digest. Uniform, and not for an attacker
/// to choose, since only tokens made here are ever entered. It is the hash in the session's
/// table and all that the user index keeps.
type Handle = u64;

/// Sessions in this process' memory.
pub struct MemoryStore {
    sessions: Box<[Mutex<HashTable<Box<Session>>>]>,
    users: Box<[Mutex<HashMap<User, Vec<Handle>>>]>,
    user_hasher: RandomState,
    max_sessions: u64,
    len: AtomicU64,
    next_table: AtomicUsize,
    last_full_sweep: AtomicI64,
}

impl MemoryStore {
    /// An empty store with room for `max_sessions`.
    #[must_use]
    pub fn new(max_sessions: u64) -> Self {
        Self {
            sessions: (0..SESSION_TABLES).map(|_| Mutex::default()).collect(),
            users: (0..USER_TABLES).map(|_| Mutex::default()).collect(),
            user_hasher: RandomState::new(),
            max_sessions,
            len: AtomicU64::new(0),
            next_table: AtomicUsize::new(0),
            last_full_sweep: AtomicI64::new(i64::MIN),
        }
    }

    fn table(&self, handle: Handle) -> &Mutex<HashTable<Box<Session>>> {
        // The hash table below uses the low and the very high bits; these are others.
        &self.sessions[(handle >> 40) as usize % SESSION_TABLES]
    }

    fn index(&self, user: &User) -> &Mutex<HashMap<User, Vec<Handle>>> {
        &self.users[(self.user_hasher.hash_one(user) >> 40) as usize % USER_TABLES]
    }

    /// Counts one more session in, unless the store is full.
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

    async fn sweep_fully(&self, at: Moment) {
        for step in self.sessions.chunks(TABLES_A_STEP) {
            for table in step {
                self.sweep_table(table, at);
            }
            tokio::task::yield_now().await;
        }
    }

    fn sweep_table(&self, table: &Mutex<HashTable<Box<Session>>>, at: Moment) {
        let mut over: Vec<Box<Session>> = Vec::new();
        {
            let mut table = table.lock();
            over.extend(table.extract_if(|session| !at.is_live(session)));
            if table.capacity() > 4 * table.len().max(16) {
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
        self.len.fetch_sub(1, Ordering::Relaxed);
        let handle = handle_of(&session.id);
        let mut index = self.index(&session.user).lock();
        if let Some(handles) = index.get_mut(&session.user) {
            if let Some(position) = handles.iter().position(|known| *known == handle) {
                handles.swap_remove(position);
            }
            if handles.is_empty() {
                index.remove(&session.user);
                if index.capacity() > 4 * index.len().max(16) {
                    index.shrink_to_fit();
                }
            }
        }
    }

    /// How many users are in the index; for tests that look for leaks.
    #[must_use]
    pub fn indexed_users(&self) -> usize {
        self.users.iter().map(|index| index.lock().len()).sum()
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn insert(&self, session: Session, at: Moment) -> Result<(), StoreError> {
        if !self.reserve() {
            if self.may_sweep_fully(at) {
                self.sweep_fully(at).await;
            }
            if !self.reserve() {
                return Err(StoreError::new(StoreErrorKind::Full, "max_sessions"));
            }
        }
        let handle = handle_of(&session.id);
        let mut index = self.index(&session.user).lock();
        // The session shares the index' copy of its user's name.
        let entry = index.entry(session.user.clone());
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
        Ok(found.filter(|session| at.is_live(session)).map(|session| (**session).clone()))
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
        let index = self.index(user).lock();
        let mut sessions: Vec<Session> = Vec::new();
        for &handle in index.get(user).into_iter().flatten() {
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

    async fn delete_all(&self, user: &User, at: Moment) -> Result<Vec<Session>, StoreError> {
        let mut index = self.index(user).lock();
        let mut ended = Vec::new();
        for handle in index.remove(user).unwrap_or_default() {
            let removed = self.take(handle, |session| is_indexed_as(session, handle, user));
            if let Some(session) = removed {
                self.len.fetch_sub(1, Ordering::Relaxed);
                ended.extend(at.is_live(&session).then_some(*session));
            }
        }
        Ok(ended)
    }

    async fn sweep(&self, at: Moment) -> Result<(), StoreError> {
        if self.len.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let first = self.next_table.fetch_add(TABLES_A_STEP, Ordering::Relaxed);
        for table in first..first.wrapping_add(TABLES_A_STEP) {
            self.sweep_table(&self.sessions[table % SESSION_TABLES], at);
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

fn handle_of(id: &SessionId) -> Handle {
    let [a, b, c, d, e, f, g, h, ..] = *id.as_bytes();
    Handle::from_le_bytes([a, b, c, d, e, f, g, h])
}

fn is_indexed_as(session: &Session, handle: Handle, user: &User) -> bool {
    handle_of(&session.id) == handle && session.user == *user
}
