//! A master that Sentinels watch: found through them, and its heir after it.

use std::time::Duration;

use neptun_auth::session::SessionStore as _;
use neptun_auth::store::{RedisConfig, RedisStore};

use super::watched::Watched;
use super::{config, in_time, kept, present};
use crate::support::wait_within;

#[tokio::test]
async fn after_a_failover_the_sentinels_lead_to_the_new_master() {
    let mut watched = Watched::start(1, 1);
    // The first of the two is not there.
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let url = watched.url().replace('@', &format!("@{gone},"));
    let store = RedisStore::open(RedisConfig {
        wait_replicas: 1,
        ..config(&url)
    });
    super::until_ready(&store).await;
    let (ended, live) = (kept(&store, "anna").await, kept(&store, "anna").await);
    assert!(store.delete(&ended.id, present()).await.unwrap().is_some());

    watched.servers[0].kill();
    assert!(in_time(store.find(&live.id, present())).await.is_err());
    wait_within(Duration::from_secs(30), "the heir has taken over", || {
        watched.servers[1].says("replication", "role:master")
    });
    super::until_ready(&store).await;
    assert!(store.find(&live.id, present()).await.unwrap().is_some());
    assert_eq!(store.find(&ended.id, present()).await.unwrap(), None);
}

#[tokio::test]
async fn a_name_that_the_sentinels_do_not_know_leads_nowhere() {
    let watched = Watched::start(0, 1);
    let url = watched.url().replace("mymaster", "other");
    let store = RedisStore::open(config(&url));
    super::until_failing_fast(&store, "sentinel").await;
}
