//! The store that keeps sessions in this process: fast, and forgotten at restart.
//!
//! Users lie in 256 tables, each with all his sessions; beside them lie as many tables that say
//! by a session's digest where its user lies, and as many of the revocations of sealed sessions.
//! Each table is behind a lock of its own. What keeps users and digests in step:
//!
//! - A session enters and leaves at its user, under the user's lock, and is handed to whoever takes
//!   it out there, which is exactly one.
//! - Its digest is entered under that same lock, so whoever takes the session out finds the
//!   digest entered and removes it.
//! - Whoever finds a digest looks whether the session is there. While it is, its user stays where
//!   he lies; should another lie there by then, none of his sessions has the id.
//!
//! Locks are taken in the order user, then digest or revocation, and never two of a kind. None
//! is held across an await.
//!
//! **Pauses.** Nothing holds a lock, nor does a sweep keep a thread, for longer than it takes to go
//! through [`BATCH`] sessions, through the free slots, marks or revocations of one table, or to
//! resize one. `cargo bench --bench store` prints the longest pauses at ten million sessions.

mod journaled;
mod places;
mod rows;
mod users;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use hashbrown::HashMap;
use parking_lot::{Mutex, MutexGuard};

use crate::session::{
    Moment, SealedSession, Session, SessionId, SessionList, SessionStore, Spared, StoreError,
    Timestamp, Trim, User,
};
use places::Places;
use rows::Row;
pub(super) use users::Mark;
use users::{Slot, UserKey, Users, Walk};

/// How many tables there are of each kind, and steps of a whole round of
/// [`sweep`](SessionStore::sweep).
const TABLES: usize = 256;

/// How many sessions are gone through before others are let at the lock or the thread.
const BATCH: usize = 128;

type Revocations = HashMap<SessionId, Timestamp>;

/// Sessions, and revocations of sealed ones, in this process' memory.
pub struct MemoryStore {
    users: Box<[Mutex<Users>]>,
    /// By a session's digest: which table of users, and where in it.
    places: Box<[Mutex<Places>]>,
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
            users: (0..TABLES).map(|_| Mutex::default()).collect(),
            places: (0..TABLES).map(|_| Mutex::default()).collect(),
            revoked_until: (0..TABLES).map(|_| Mutex::default()).collect(),
            user_hasher: RandomState::new(),
            max_sessions,
            len: AtomicU64::new(0),
            next_step: AtomicUsize::new(0),
            found_full_at: AtomicI64::new(i64::MIN),
        }
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
        &self.revoked_until[table_of(hash_of(id))]
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
            while self.next_step.load(Ordering::Relaxed).wrapping_sub(first) < TABLES {
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

    /// Goes through the next table of each kind, and lets other tasks run meanwhile.
    async fn sweep_step(&self, at: Moment) {
        let table = self.next_table();
        self.sweep_revocations(table, at);
        self.sweep_sessions(table, at).await;
    }

    fn next_table(&self) -> usize {
        self.next_step.fetch_add(1, Ordering::Relaxed) % TABLES
    }

    /// Drops the marks and revocations of one table that are over.
    fn sweep_revocations(&self, table: usize, at: Moment) {
        let over = |mark: &Mark| at.is_past(mark.until);
        self.uncount(drop_over(&mut self.users[table].lock().marks, over));
        let over = |until: &Timestamp| at.is_past(*until);
        self.uncount(drop_over(&mut self.revoked_until[table].lock(), over));
        self.places[table].lock().shrink();
    }

    async fn sweep_sessions(&self, table: usize, at: Moment) {
        let mut walk = Walk::default();
        while !walk.is_done {
            // No await before all are forgotten: the future may be dropped at any.
            self.sweep_some(table, &mut walk, at);
            tokio::task::yield_now().await;
        }
    }

    fn sweep_some(&self, table: usize, walk: &mut Walk, at: Moment) {
        let mut users = self.users[table].lock();
        for (slot, id) in users.some_over(walk, BATCH, at) {
            users.take(slot, &id, |user| self.user_key(user));
            self.forget(&id, place_of(table, slot));
        }
        if walk.is_done {
            users.shrink();
        }
    }

    /// Enters a session at its user and by its digest, unless it is there; says whether it did.
    fn enter(&self, session: Session) -> bool {
        let (key, id) = (self.user_key(&session.user), session.id);
        let mut users = self.user_table(key).lock();
        let Some(slot) = users.add(key, session) else {
            return false;
        };
        let place = place_of(table_of(key), slot);
        self.places[table_of(hash_of(&id))]
            .lock()
            .insert(hash_of(&id), place);
        true
    }

    /// Goes to the user of the session of this id, whom `then` finds there or not.
    fn at_user_of<T>(
        &self,
        id: &SessionId,
        then: impl Fn(&mut Users, Slot) -> Option<T>,
    ) -> Option<(u32, T)> {
        let hash = hash_of(id);
        let places = self.places[table_of(hash)].lock().of(hash);
        places.into_iter().find_map(|place| {
            let (table, slot) = table_and_slot(place);
            Some((place, then(&mut self.users[table].lock(), slot)?))
        })
    }

    /// A copy of the session of this id, over or not.
    fn look(&self, id: &SessionId) -> Option<Session> {
        Some(self.at_user_of(id, |users, slot| users.get(slot, id))?.1)
    }

    /// A copy of the live session of this id.
    fn live(&self, id: &SessionId, at: Moment) -> Option<Session> {
        self.look(id).filter(|session| at.is_live(session))
    }

    /// Moves the last use of the session of this id forward, if it `may_be` used; says whether it
    /// was.
    fn used(&self, id: &SessionId, at: Timestamp, may_be: impl Fn(&Row) -> bool) -> bool {
        let used = self.at_user_of(id, |users, slot| {
            let row = users.get_mut(slot, id).filter(|row| may_be(row))?;
            row.last_seen_at = row.last_seen_at.max(at);
            Some(())
        });
        used.is_some()
    }

    /// Copies of the user's sessions, over or not, in no order.
    fn look_at_all(&self, user: &User) -> Vec<Session> {
        let key = self.user_key(user);
        let mut sessions = Vec::new();
        let mut users = self.user_table(key).lock();
        for_some(&mut users, (key, user), |_, _, some| sessions.extend(some));
        sessions
    }

    /// Removes the session of this id; what it was if it was live.
    fn take_live(&self, id: &SessionId, at: Moment) -> Option<Session> {
        self.take(id).filter(|session| at.is_live(session))
    }

    /// Removes the session of this id, over or not.
    fn take(&self, id: &SessionId) -> Option<Session> {
        let take = |users: &mut Users, slot| users.take(slot, id, |user| self.user_key(user));
        let (place, session) = self.at_user_of(id, take)?;
        self.forget(id, place);
        Some(session)
    }

    /// What remains to be done for a session that was just taken from its user.
    fn forget(&self, id: &SessionId, place: u32) {
        self.uncount(1);
        let hash = hash_of(id);
        self.places[table_of(hash)].lock().remove(hash, place);
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
        let users = |table: &Mutex<Users>| table.lock().len();
        self.users.iter().map(users).sum()
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn insert(&self, session: Session, at: Moment) -> Result<(), StoreError> {
        self.reserve_or_sweep(at).await?;
        if !self.enter(session) {
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
        Ok(self.used(id, at.now, |session| at.is_live(session)))
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
        for_some(&mut users, (key, user), |users, slot, some| {
            for id in some.iter().filter_map(|session| trim.see(session)) {
                if let Some(session) = users.take(slot, &id, |_| key) {
                    self.forget(&id, place_of(table_of(key), slot));
                    removed.push(session);
                }
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
fn for_some(
    users: &mut MutexGuard<'_, Users>,
    user: (UserKey, &User),
    mut visit: impl FnMut(&mut Users, Slot, Vec<Session>),
) {
    let mut last = None;
    loop {
        let (slot, some) = users.some_of(user, last, BATCH);
        last = some.get(BATCH - 1).map(|session| session.id);
        visit(users, slot, some);
        if last.is_none() {
            return;
        }
        MutexGuard::bump(users);
    }
}

/// Uniform, and not for an attacker to choose, since only tokens made here are ever entered, each
/// once.
fn hash_of(id: &SessionId) -> u64 {
    let first_eight = id.as_bytes().first_chunk().copied();
    u64::from_le_bytes(first_eight.unwrap_or_default())
}

/// Which table. Those inside use the low half of the hash.
const fn table_of(hash: u64) -> usize {
    (hash >> 40) as usize % TABLES
}

/// A table of users and a slot in it, as one number.
#[expect(
    clippy::cast_possible_truncation,
    reason = "there are hundreds of tables"
)]
const fn place_of(table: usize, slot: Slot) -> u32 {
    slot * TABLES as u32 + table as u32
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "there are hundreds of tables"
)]
const fn table_and_slot(place: u32) -> (usize, Slot) {
    (place as usize % TABLES, place / TABLES as u32)
}

/// Removes what is over, and the space it took; says how many they were.
fn drop_over<K: Eq + Hash, V>(map: &mut HashMap<K, V>, is_over: impl Fn(&V) -> bool) -> usize {
    let gone = map.extract_if(|_, value| is_over(value)).count();
    if is_sparse(map.capacity(), map.len()) {
        map.shrink_to_fit();
    }
    gone
}

/// Whether a table of this capacity is worth making smaller.
const fn is_sparse(capacity: usize, len: usize) -> bool {
    capacity > 64 && capacity / 4 > len
}
