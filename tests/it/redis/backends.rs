//! Servers that the tests running at the time share, each with a prefix of its own; they end with
//! the last of them. And on them the factories for the suite of the contract.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use neptun_auth::store::{RedisConfig, RedisStore};

use super::cluster::Cluster;
use super::server::{Brand, Server};
use super::until_ready;
use crate::conformance::Backend;

pub(crate) async fn redis() -> Backend {
    let server = shared_redis();
    on(server.url(), server).await
}

pub(crate) async fn valkey() -> Backend {
    let server = shared_valkey();
    on(server.url(), server).await
}

pub(crate) async fn redis_cluster() -> Backend {
    static CLUSTER: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    let cluster = shared(&CLUSTER, Cluster::of_masters);
    on(cluster.url(), cluster).await
}

pub(crate) fn shared_redis() -> Arc<Server> {
    static REDIS: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    shared(&REDIS, || Server::start(Brand::Redis, &[]))
}

pub(crate) fn shared_valkey() -> Arc<Server> {
    static VALKEY: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    shared(&VALKEY, || Server::start(Brand::Valkey, &[]))
}

fn shared<S>(server: &Mutex<Weak<S>>, start: impl FnOnce() -> S) -> Arc<S> {
    let mut running = server.lock().unwrap();
    running.upgrade().unwrap_or_else(|| {
        let started = Arc::new(start());
        *running = Arc::downgrade(&started);
        started
    })
}

async fn on(url: String, server: Arc<impl Send + Sync + 'static>) -> Backend {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let store = RedisStore::open(RedisConfig {
        prefix: format!("neptun-auth-{}:", NEXT.fetch_add(1, Ordering::Relaxed)),
        // What a call may take is tested elsewhere; here many run at once.
        timeout: Duration::from_secs(20),
        ..super::config(&url)
    });
    until_ready(&store).await;
    Backend {
        store: Arc::new(store),
        rounds: 10,
        histories: 48,
        _owned: Box::new(server),
    }
}
