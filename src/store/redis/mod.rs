//! The store in Redis or Valkey: sessions that many replicas of this service share.
//!
//! This file is the contract of [`SessionStore`] in terms of commands; `layout` says which keys
//! there are and why no crash between two commands hurts. Below it: `scripts` (the Lua), `servers`
//! (which server, which connection; `cluster` and `slot` if they are many), `link` (one connection
//! kept up), `conn` (one connection), `dial` and `tls` (making one), `durability` (what the server
//! promises), `error` and `url`.
//! Nothing is cached, and nothing that changes a session is ever sent twice.
//!
//! Needs Redis 6.2 or any Valkey (`GETDEL`). Redis expires keys by itself, so sweeping does nothing.

mod cluster;
mod conn;
mod dial;
mod durability;
mod error;
mod layout;
mod link;
mod scripts;
mod servers;
mod slot;
mod tls;
mod url;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use redis::Cmd;
use tokio::time::Instant;

use self::error::unavailable;
use self::layout::{Layout, keep, read_mark, read_record, record};
use self::servers::{Change, Servers};
pub use self::url::{InvalidRedisUrl, RedisUrl};
use crate::session::{
    Moment, NotBefore, SealedSession, Session, SessionId, SessionList, SessionStore, StoreError,
    Timestamp, User,
};

/// How many of a user's sessions are looked up at once.
const AT_ONCE: usize = 128;

/// An index is looked through, and the ids whose sessions are gone removed, when it has grown by
/// half or less since the last time, but no sooner than after so many logins.
const REPAIR_EVERY: usize = 64;

/// Where the store is and what is asked of it.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// The server or servers.
    pub url: RedisUrl,
    /// What the name of every key begins with.
    pub prefix: String,
    /// A change is acknowledged only once so many replicas have it.
    pub wait_replicas: usize,
    /// Not to be ready while the server does not promise that what it acknowledged stays:
    /// `appendonly yes`, `appendfsync always`, and no eviction.
    pub require_durable: bool,
    /// The time a call may take.
    pub timeout: Duration,
}

/// Sessions, and revocations of sealed ones, in Redis.
pub struct RedisStore {
    shared: Arc<Shared>,
}

struct Shared {
    servers: Servers,
    layout: Layout,
    require_durable: bool,
    time_for_a_call: Duration,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").finish_non_exhaustive()
    }
}

impl RedisStore {
    /// Opens the store and returns at once, whether or not a server can be reached yet. Must be
    /// called within a Tokio runtime, which keeps the connections up from then on.
    #[must_use]
    pub fn open(config: RedisConfig) -> Self {
        let layout = Layout::new(config.prefix);
        let servers = Servers::open(config.url, &layout, config.wait_replicas, config.timeout);
        Self {
            shared: Arc::new(Shared {
                servers,
                layout,
                require_durable: config.require_durable,
                // Somewhat less, so that it is this store that says what went wrong.
                time_for_a_call: config.timeout.mul_f64(0.97),
            }),
        }
    }

    /// Does something in several steps to its end, even if the caller goes away in the middle.
    async fn to_the_end<T, F, W>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(Arc<Shared>) -> W,
        W: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let task = tokio::spawn(work(Arc::clone(&self.shared)));
        let stopped = |cause| Err(unavailable("stopped").caused_by(cause));
        task.await.unwrap_or_else(stopped)
    }
}

#[async_trait]
impl SessionStore for RedisStore {
    async fn insert(&self, session: Session, at: Moment) -> Result<(), StoreError> {
        self.to_the_end(move |shared| async move {
            let inserted = shared.insert(&session, at).await;
            match &inserted {
                Ok(indexed) if repair_is_due(*indexed) => {
                    tokio::spawn(async move { shared.repair_index(&session.user).await });
                }
                Ok(_) => {}
                Err(_) => shared.discard(&session).await,
            }
            inserted.map(drop)
        })
        .await
    }

    async fn find(&self, id: &SessionId, at: Moment) -> Result<Option<Session>, StoreError> {
        let found = self.shared.get(id, self.shared.deadline()).await?;
        Ok(found.filter(|session| at.is_live(session)))
    }

    async fn touch(&self, id: &SessionId, at: Moment) -> Result<bool, StoreError> {
        let Shared {
            servers, layout, ..
        } = &*self.shared;
        let deadline = self.shared.deadline();
        let key = layout.session(id);
        let touched: Option<String> = servers
            .read(&key, &scripts::touch(&key, at), deadline)
            .await?;
        let Some(record) = touched else {
            return Ok(false);
        };
        let session = understood(*id, &record)?;
        let key = layout.index(&session.user);
        let index = scripts::index(&key, &session, at);
        servers.hint(&key, index, deadline).await;
        Ok(true)
    }

    async fn delete(&self, id: &SessionId, at: Moment) -> Result<Option<Session>, StoreError> {
        let id = *id;
        let shared = &self.shared;
        let deadline = shared.deadline();
        let change = shared.servers.change(deadline);
        let taken = shared.take(&change, &id, at).await?;
        if let Some(session) = &taken {
            shared.unlist(&session.user, &[id], deadline).await;
        }
        let confirmed = change.confirmed().await;
        confirmed.map_err(|error| change.failed(error))?;
        Ok(taken.filter(|session| at.is_live(session)))
    }

    async fn list(&self, user: &User, at: Moment) -> Result<SessionList, StoreError> {
        let sessions = self.shared.list(user, self.shared.deadline()).await?;
        let live = sessions.into_iter().filter(|session| at.is_live(session));
        Ok(SessionList::of(live))
    }

    async fn delete_all(
        &self,
        user: &User,
        at: Moment,
        seals_until: Option<Timestamp>,
    ) -> Result<Vec<Session>, StoreError> {
        let user = user.clone();
        let mut ended = self
            .to_the_end(
                move |shared| async move { shared.delete_all(&user, at, seals_until).await },
            )
            .await?;
        ended.retain(|session| at.is_live(session));
        Ok(ended)
    }

    async fn revoke_sealed(&self, sealed: &SealedSession, at: Moment) -> Result<bool, StoreError> {
        if at.is_past(sealed.expires_at) {
            return Ok(false);
        }
        let Shared {
            servers, layout, ..
        } = &*self.shared;
        let change = servers.change(self.shared.deadline());
        // The mark first: should it be set in between, this revocation counts as before it.
        let covered = match &sealed.user {
            Some(user) => {
                let key = layout.mark(user);
                let mark: Option<String> = change.run(&key, &get(&key)).await?;
                covers(mark, sealed, at)?
            }
            None => false,
        };
        let mut ended = false;
        if !covered {
            let key = layout.revocation(&sealed.id);
            let mut set = redis::cmd("SET");
            set.arg(&key).arg("").arg("NX").arg("PX");
            set.arg(keep(at, sealed.expires_at, sealed.lifetime()));
            let set: Option<String> = change.run(&key, &set).await?;
            ended = set.is_some();
            change.ended.lock().sealed = ended;
        }
        let confirmed = change.confirmed().await;
        confirmed.map_err(|error| change.failed(error))?;
        Ok(ended)
    }

    async fn is_revoked(&self, sealed: &SealedSession, at: Moment) -> Result<bool, StoreError> {
        let Shared {
            servers, layout, ..
        } = &*self.shared;
        let deadline = self.shared.deadline();
        let by_itself = async {
            let key = layout.revocation(&sealed.id);
            let mut exists = redis::cmd("EXISTS");
            exists.arg(&key);
            servers.read::<bool>(&key, &exists, deadline).await
        };
        let with_others = async {
            let Some(user) = &sealed.user else {
                return Ok(false);
            };
            let key = layout.mark(user);
            let mark = servers.read(&key, &get(&key), deadline).await?;
            covers(mark, sealed, at)
        };
        let (by_itself, with_others) = tokio::try_join!(by_itself, with_others)?;
        Ok(by_itself || with_others)
    }

    async fn sweep(&self, _at: Moment) -> Result<(), StoreError> {
        Ok(())
    }

    async fn ready(&self) -> Result<(), StoreError> {
        let doubt = self.shared.servers.ping(self.shared.deadline()).await?;
        match doubt {
            Some(doubt) if self.shared.require_durable => {
                Err(unavailable("durability").caused_by(doubt))
            }
            _ => Ok(()),
        }
    }

    async fn close(&self) -> Result<(), StoreError> {
        // What was acknowledged lies with the server already.
        Ok(())
    }

    fn approximate_len(&self) -> Option<u64> {
        None
    }
}

impl Shared {
    fn deadline(&self) -> Instant {
        Instant::now() + self.time_for_a_call
    }

    /// Writes the session, then the index; gives back how many sessions that has now.
    async fn insert(&self, session: &Session, at: Moment) -> Result<usize, StoreError> {
        let change = self.servers.change(self.deadline());
        let key = self.layout.session(&session.id);
        let mut set = redis::cmd("SET");
        set.arg(&key).arg(record(session)).arg("PX");
        set.arg(keep(at, at.deadline(session), session.lifetime()));
        let _: redis::Value = change.run(&key, &set).await?;
        let key = self.layout.index(&session.user);
        let index = scripts::index(&key, session, at);
        let indexed = change.run(&key, &index).await?;
        change.confirmed().await?;
        Ok(indexed)
    }

    /// Removes a session whose token nobody will be told, as far as that is possible now.
    async fn discard(&self, session: &Session) {
        let deadline = self.deadline();
        let key = self.layout.session(&session.id);
        let mut remove = redis::cmd("DEL");
        remove.arg(&key);
        self.servers.hint(&key, remove, deadline).await;
        self.unlist(&session.user, &[session.id], deadline).await;
    }

    async fn get(&self, id: &SessionId, deadline: Instant) -> Result<Option<Session>, StoreError> {
        let key = self.layout.session(id);
        let found: Option<String> = self.servers.read(&key, &get(&key), deadline).await?;
        found.map(|record| understood(*id, &record)).transpose()
    }

    /// Takes the record of a session: the step that decides who ended it.
    async fn take(
        &self,
        change: &Change<'_>,
        id: &SessionId,
        at: Moment,
    ) -> Result<Option<Session>, StoreError> {
        let key = self.layout.session(id);
        let mut take = redis::cmd("GETDEL");
        take.arg(&key);
        let taken: Option<String> = change.run(&key, &take).await?;
        let taken = taken.map(|record| understood(*id, &record)).transpose()?;
        if let Some(live) = taken.as_ref().filter(|session| at.is_live(session)) {
            change.ended.lock().sessions.push(live.clone());
        }
        Ok(taken)
    }

    /// The user's sessions, live or over, in no order. Removes ids without a session from the
    /// index.
    async fn list(&self, user: &User, deadline: Instant) -> Result<Vec<Session>, StoreError> {
        let ids = self.listed(user, deadline).await?;
        let (mut sessions, mut gone) = (Vec::new(), Vec::new());
        for some in ids.chunks(AT_ONCE) {
            let looking_up = some.iter().map(|id| self.get(id, deadline));
            for (id, found) in some.iter().zip(try_join_all(looking_up).await?) {
                match found {
                    Some(session) if session.user == *user => sessions.push(session),
                    _ => gone.push(*id),
                }
            }
        }
        self.unlist(user, &gone, deadline).await;
        Ok(sessions)
    }

    /// Looks the ids in an index up, for the sake of removing those that lead nowhere.
    async fn repair_index(&self, user: &User) {
        if let Err(error) = self.list(user, self.deadline()).await {
            tracing::debug!(class = error.class(), "index not looked through: {error}");
        }
    }

    async fn delete_all(
        &self,
        user: &User,
        at: Moment,
        seals_until: Option<Timestamp>,
    ) -> Result<Vec<Session>, StoreError> {
        let change = self.servers.change(self.deadline());
        let ended = self.delete_all_by(&change, user, at, seals_until).await;
        ended.map_err(|error| change.failed(error))
    }

    /// Ends the user's sessions, then sets the mark: out of memory, the first makes room for the
    /// second.
    async fn delete_all_by(
        &self,
        change: &Change<'_>,
        user: &User,
        at: Moment,
        seals_until: Option<Timestamp>,
    ) -> Result<Vec<Session>, StoreError> {
        let deadline = change.deadline;
        change.include_all().await?;
        let ids = self.listed(user, deadline).await?;
        let mut ended = Vec::new();
        for some in ids.chunks(AT_ONCE) {
            let taking = some.iter().map(|id| self.take(change, id, at));
            // All of them are heard out, also after one has failed: each may have ended something.
            for taken in join_all(taking).await {
                ended.extend(taken?);
            }
        }
        self.unlist(user, &ids, deadline).await;
        if let Some(until) = seals_until {
            let key = self.layout.mark(user);
            let mark = scripts::mark(&key, at, until);
            let was_ahead: bool = change.run(&key, &mark).await?;
            change.ended.lock().sealed = true;
            if was_ahead {
                NotBefore::warn_of_one_ahead(user);
            }
        }
        change.confirmed().await?;
        Ok(ended)
    }

    /// The ids in the user's index.
    async fn listed(&self, user: &User, deadline: Instant) -> Result<Vec<SessionId>, StoreError> {
        let key = self.layout.index(user);
        let mut range = redis::cmd("ZRANGE");
        range.arg(&key).arg(0).arg(-1);
        let ids: Vec<String> = self.servers.read(&key, &range, deadline).await?;
        let understood = |id: &String| id.parse().map_err(|error| record_error().caused_by(error));
        ids.iter().map(understood).collect()
    }

    /// Takes ids out of the user's index, where nobody is to believe them any more.
    async fn unlist(&self, user: &User, ids: &[SessionId], deadline: Instant) {
        if ids.is_empty() {
            return;
        }
        let key = self.layout.index(user);
        let mut remove = redis::cmd("ZREM");
        remove.arg(&key);
        for id in ids {
            remove.arg(id.to_string());
        }
        self.servers.hint(&key, remove, deadline).await;
    }
}

/// Whether an index that has just reached this size is to be looked through. The larger it is, the
/// longer the steps, so that a login costs the same however many sessions its user has.
const fn repair_is_due(indexed: usize) -> bool {
    let step = indexed.next_power_of_two() / 4;
    let step = if step < REPAIR_EVERY {
        REPAIR_EVERY
    } else {
        step
    };
    indexed.is_multiple_of(step)
}

fn get(key: &str) -> Cmd {
    let mut get = redis::cmd("GET");
    get.arg(key);
    get
}

fn understood(id: SessionId, record: &str) -> Result<Session, StoreError> {
    read_record(id, record).ok_or(record_error())
}

/// Something lies under one of our keys that we did not write.
const fn record_error() -> StoreError {
    unavailable("record")
}

/// Whether a user's mark covers this sealed session.
fn covers(mark: Option<String>, sealed: &SealedSession, at: Moment) -> Result<bool, StoreError> {
    let Some(mark) = mark else {
        return Ok(false);
    };
    let not_before = read_mark(&mark).ok_or(record_error())?;
    Ok(not_before.covers(sealed, at))
}
