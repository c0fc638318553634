//! The Redis store on real servers: what the contract's own suite does not see.

mod at_rest;
pub(crate) mod backends;
mod cluster;
mod outage;
mod promises;
mod replicas;
mod sentinel;
pub(crate) mod server;
mod service;
mod tls;
mod watched;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use neptun_auth::session::{
    Clock as _, Moment, Session, SessionId, SessionStore as _, SessionToken, StoreError,
    StoreErrorKind, SystemClock, User,
};
use neptun_auth::store::{RedisConfig, RedisStore};

use server::Server;

/// The `--store-timeout` of these tests.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What a busy machine may add to it.
const SLACK: Duration = Duration::from_millis(400);

/// How soon after a server's return the first good answer must come.
const RECOVERY: Duration = Duration::from_secs(2);

fn config(url: &str) -> RedisConfig {
    RedisConfig {
        url: url.parse().unwrap(),
        prefix: "neptun-auth:".to_owned(),
        wait_replicas: 0,
        require_durable: false,
        timeout: TIMEOUT,
    }
}

fn store_at(url: &str) -> Arc<RedisStore> {
    Arc::new(RedisStore::open(config(url)))
}

fn store_on(server: &Server) -> Arc<RedisStore> {
    store_at(&server.url())
}

/// A store that has its connections.
async fn connected(server: &Server) -> Arc<RedisStore> {
    let store = store_on(server);
    until_ready(&store).await;
    store
}

fn present() -> Moment {
    Moment::of(SystemClock.now())
}

fn user(name: &str) -> User {
    User::new(name).unwrap()
}

fn fresh_session(owner: &str) -> Session {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let token = SessionToken::from_cookie_value(format!("token-{number}").as_bytes()).unwrap();
    session_of(&token, owner)
}

fn session_of(token: &SessionToken, owner: &str) -> Session {
    let now = SystemClock.now();
    Session {
        id: SessionId::of(token),
        user: user(owner),
        created_at: now,
        last_seen_at: now,
        expires_at: now.plus(Duration::from_hours(1)),
        label: None,
    }
}

async fn kept(store: &RedisStore, owner: &str) -> Session {
    let session = fresh_session(owner);
    store.insert(session.clone(), present()).await.unwrap();
    session
}

/// Runs a call and holds it to its time.
async fn in_time<T>(call: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let answer = call.await;
    let took = start.elapsed();
    assert!(took < TIMEOUT + SLACK, "a call took {took:?}");
    answer
}

fn class_of<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> &'static str {
    answer.unwrap_err().class()
}

fn kind_of<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> StoreErrorKind {
    answer.unwrap_err().kind()
}

/// Asks until the store is ready; fails if it is not within the time of recovery.
async fn until_ready(store: &RedisStore) {
    let start = Instant::now();
    while let Err(error) = in_time(store.ready()).await {
        assert!(start.elapsed() < RECOVERY, "not back in time: {error}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Asks until calls fail as `class`, at once.
async fn until_failing_fast(store: &RedisStore, class: &str) {
    let limit = Instant::now() + Duration::from_secs(5);
    loop {
        let start = Instant::now();
        let failed = store.find(&fresh_session("nobody").id, present()).await;
        let at_once = start.elapsed() < Duration::from_millis(50);
        if at_once && failed.as_ref().is_err_and(|error| error.class() == class) {
            return;
        }
        assert!(Instant::now() < limit, "calls do not fail fast: {failed:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
