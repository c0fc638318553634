//! The store in Redis or Valkey: sessions that many replicas of this service share.
//!
//! This file is the contract of [`SessionStore`] in terms of commands, `users` what concerns all
//! sessions of a user; `layout` says which keys there are and why no crash between two commands
//! hurts, `scripts` has the Lua. The way of a command: `call` (one loop: find the server, send,
//! follow a redirection), `topology` (which server has which key, kept current by one task),
//! `node` (one server, its connections kept up), `conn` (one connection), `dial` (making one).
//! Beside it: `durability` (what a server promises), `error` (the classes of what fails) and `url`.
//! Nothing is cached, and nothing that changes a session is ever sent twice.
//!
//! Needs Redis 6.2 or any Valkey (`GETDEL`). Redis expires keys by itself, so sweeping does nothing.

mod call;
mod conn;
mod dial;
mod durability;
mod error;
mod layout;
mod node;
mod scripts;
mod topology;
mod url;
mod users;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::Cmd;
use tokio::time::Instant;

use self::call::Call;
use self::dial::Way;
pub(super) use self::error::Class;
use self::error::Failure;
use self::layout::{Layout, keep, read_mark, read_record, record};
use self::topology::Topology;
pub use self::url::{InvalidRedisUrl, RedisUrl};
use crate::metrics::Metrics;
use crate::session::{
    Ended, Moment, SealedSession, Session, SessionId, SessionList, SessionStore, Spared,
    StoreError, Timestamp, User,
};

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
    inner: Arc<Inner>,
}

struct Inner {
    topology: Topology,
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
        let no_key = layout.no_key();
        let way = Way::new(&config.url, config.timeout, config.wait_replicas, no_key);
        let topology = Topology::open(&config.url, way, &layout);
        Self {
            inner: Arc::new(Inner {
                topology,
                layout,
                require_durable: config.require_durable,
                // Somewhat less, so that it is this store that says what went wrong.
                time_for_a_call: config.timeout.mul_f64(0.97),
            }),
        }
    }

    /// The same store, which also counts how its servers are.
    #[must_use]
    pub fn counted_in(self, metrics: Arc<Metrics>) -> Self {
        self.inner.topology.count_in(metrics);
        self
    }

    /// Does something in several steps to its end, even if the caller goes away in the middle.
    async fn spawned<T, F, W>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(Arc<Inner>) -> W,
        W: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let task = tokio::spawn(work(Arc::clone(&self.inner)));
        let stopped = |cause| Err(Failure::from(Class::Stopped).because(cause).into());
        task.await.unwrap_or_else(stopped)
    }
}

#[async_trait]
impl SessionStore for RedisStore {
    async fn insert(&self, session: Session, at: Moment) -> Result<(), StoreError> {
        self.spawned(move |inner| async move {
            let inserted = inner.insert(&session, at).await;
            let is_refused = inserted.is_err();
            // Nobody waits for what is tidied up.
            if inserted
                .as_ref()
                .map_or(true, |indexed| users::repair_is_due(*indexed))
            {
                tokio::spawn(async move {
                    if is_refused {
                        inner.discard(&session).await;
                    } else {
                        inner.repair_index(&session.user).await;
                    }
                });
            }
            Ok(inserted.map(drop)?)
        })
        .await
    }

    async fn find(&self, id: &SessionId, at: Moment) -> Result<Option<Session>, StoreError> {
        let key = self.inner.layout.session(id);
        let found: Option<String> = self.inner.call().read(&key, &get(&key)).await?;
        let found = found.map(|record| understood(*id, &record)).transpose()?;
        Ok(found.filter(|session| at.is_live(session)))
    }

    async fn touch(&self, id: &SessionId, at: Moment) -> Result<bool, StoreError> {
        let Inner { layout, .. } = &*self.inner;
        let call = self.inner.call();
        let key = layout.session(id);
        let touched: Option<String> = call.read(&key, &scripts::touch(&key, at)).await?;
        let Some(record) = touched else {
            return Ok(false);
        };
        let session = understood(*id, &record)?;
        // Whether or not the index, or this session in it, has been lost.
        let key = layout.index(&session.user);
        call.hint(&key, scripts::index(&key, &session, at)).await;
        Ok(true)
    }

    async fn delete(&self, id: &SessionId, at: Moment) -> Result<Option<Session>, StoreError> {
        let call = self.inner.call();
        let key = self.inner.layout.session(id);
        let taken: Option<String> = call.change(&key, &getdel(&key)).await?;
        let taken = taken.map(|record| understood(*id, &record)).transpose()?;
        if let Some(session) = &taken {
            self.inner.unlist(&call, &session.user, &[*id]).await;
        }
        let ended = taken.filter(|session| at.is_live(session));
        match call.confirmed().await {
            Ok(()) => Ok(ended),
            Err(failure) => Err(StoreError::from(failure).having_ended(Ended {
                sessions: ended.into_iter().collect(),
                sealed: false,
            })),
        }
    }

    async fn list(&self, user: &User, at: Moment) -> Result<SessionList, StoreError> {
        Ok(self.inner.list(user, at).await?)
    }

    async fn trim(
        &self,
        user: &User,
        spared: &Spared,
        at: Moment,
        seals_until: Option<Timestamp>,
    ) -> Result<Vec<Session>, StoreError> {
        let (user, spared) = (user.clone(), spared.clone());
        let work =
            async move |inner: Arc<Inner>| inner.end_but(&user, &spared, at, seals_until).await;
        self.spawned(work).await
    }

    async fn revoke_sealed(&self, sealed: &SealedSession, at: Moment) -> Result<bool, StoreError> {
        if at.is_past(sealed.expires_at) {
            return Ok(false);
        }
        let Inner { layout, .. } = &*self.inner;
        let call = self.inner.call();
        // The mark first: should it be set in between, this revocation counts as before it.
        let covered = match &sealed.user {
            Some(user) => {
                let key = layout.mark(user);
                let mark: Option<String> = call.change(&key, &get(&key)).await?;
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
            let set: Option<String> = call.change(&key, &set).await?;
            ended = set.is_some();
        }
        match call.confirmed().await {
            Ok(()) => Ok(ended),
            Err(failure) => Err(StoreError::from(failure).having_ended(Ended {
                sessions: Vec::new(),
                sealed: ended,
            })),
        }
    }

    async fn is_revoked(&self, sealed: &SealedSession, at: Moment) -> Result<bool, StoreError> {
        let Inner { layout, .. } = &*self.inner;
        let call = self.inner.call();
        let by_itself = async {
            let key = layout.revocation(&sealed.id);
            let mut exists = redis::cmd("EXISTS");
            exists.arg(&key);
            call.read::<bool>(&key, &exists).await
        };
        let with_others = async {
            let Some(user) = &sealed.user else {
                return Ok(false);
            };
            let key = layout.mark(user);
            let mark = call.read(&key, &get(&key)).await?;
            covers(mark, sealed, at)
        };
        let (by_itself, with_others) = tokio::try_join!(by_itself, with_others)?;
        Ok(by_itself || with_others)
    }

    async fn sweep(&self, _at: Moment) -> Result<(), StoreError> {
        Ok(())
    }

    /// Sessions on servers that are lost are no reason to turn the others away, nor is it that
    /// changes cannot be confirmed: checks are still worth having.
    async fn ready(&self) -> Result<(), StoreError> {
        let survey = self.inner.topology.survey(self.inner.deadline()).await;
        if survey.serving == 0 {
            let failure = survey.failure.unwrap_or(Class::Connecting.into());
            return Err(failure.into());
        }
        let unconfirmed = survey
            .is_unconfirmed
            .then(|| "changes cannot be confirmed".to_owned());
        match survey.doubt.or(unconfirmed) {
            Some(doubt) if self.inner.require_durable => {
                Err(Failure::from(Class::Durability).because(doubt).into())
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

impl Inner {
    fn deadline(&self) -> Instant {
        Instant::now() + self.time_for_a_call
    }

    fn call(&self) -> Call<'_> {
        Call::new(&self.topology, self.deadline())
    }

    /// Writes the session, then the index; gives back how many sessions that has now.
    async fn insert(&self, session: &Session, at: Moment) -> Result<usize, Failure> {
        let call = self.call();
        let key = self.layout.session(&session.id);
        let mut set = redis::cmd("SET");
        set.arg(&key).arg(record(session)).arg("PX");
        set.arg(keep(at, at.deadline(session), session.lifetime()));
        let _: redis::Value = call.change(&key, &set).await?;
        let key = self.layout.index(&session.user);
        let index = scripts::index(&key, session, at);
        let indexed = call.change(&key, &index).await?;
        call.confirmed().await?;
        Ok(indexed)
    }

    /// Removes a session whose token nobody will be told, as far as that is possible now.
    async fn discard(&self, session: &Session) {
        let call = self.call();
        let key = self.layout.session(&session.id);
        let mut remove = redis::cmd("DEL");
        remove.arg(&key);
        call.hint(&key, remove).await;
        self.unlist(&call, &session.user, &[session.id]).await;
    }
}

fn get(key: &str) -> Cmd {
    let mut get = redis::cmd("GET");
    get.arg(key);
    get
}

/// Takes the record of a session: the step that decides who ended it.
fn getdel(key: &str) -> Cmd {
    let mut take = redis::cmd("GETDEL");
    take.arg(key);
    take
}

/// Anything else under one of our keys is not written by us.
fn understood(id: SessionId, record: &str) -> Result<Session, Failure> {
    Ok(read_record(id, record).ok_or(Class::Record)?)
}

/// Whether a user's mark covers this sealed session.
fn covers(mark: Option<String>, sealed: &SealedSession, at: Moment) -> Result<bool, Failure> {
    let Some(mark) = mark else {
        return Ok(false);
    };
    let not_before = read_mark(&mark).ok_or(Class::Record)?;
    Ok(not_before.covers(sealed, at))
}
