//! A master that Sentinels watch: found through them, and its heir after it.

use std::time::Duration;

use neptun_auth::session::SessionStore as _;
use neptun_auth::store::{RedisConfig, RedisStore};

use super::server::{Brand, Server, eventually};
use super::{config, in_time, kept, present};

fn sentinel(master: &Server) -> Server {
    Server::start_with(Brand::Redis, |_, directory| {
        let watched = format!(
            "sentinel monitor mymaster 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds mymaster 500\n\
             sentinel failover-timeout mymaster 3000\n",
            master.port()
        );
        let file = directory.join("sentinel.conf");
        std::fs::write(&file, watched).unwrap();
        vec![file.display().to_string(), "--sentinel".to_owned()]
    })
}

#[tokio::test]
async fn after_a_failover_the_sentinels_lead_to_the_new_master() {
    let mut master = Server::start(Brand::Redis, &[]);
    let follow = ["--replicaof", "127.0.0.1", &master.port().to_string()];
    let replica = Server::start(Brand::Redis, &follow);
    let watching = sentinel(&master);
    eventually("watched with its replica", Duration::from_secs(30), || {
        let state = watching.ask("INFO sentinel").unwrap();
        let following = master.ask("INFO replication").unwrap();
        state.contains("slaves=1") && following.contains("state=online")
    });
    // The first of the two is not there.
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let url = format!("redis+sentinel://{gone},{}/mymaster", watching.address());
    let store = RedisStore::open(RedisConfig {
        wait_replicas: 1,
        ..config(&url)
    });
    super::until_ready(&store).await;
    let (ended, live) = (kept(&store, "anna").await, kept(&store, "anna").await);
    assert!(store.delete(&ended.id, present()).await.unwrap().is_some());

    master.kill();
    assert!(in_time(store.find(&live.id, present())).await.is_err());
    eventually("the heir has taken over", Duration::from_secs(30), || {
        replica
            .ask("INFO replication")
            .is_ok_and(|state| state.contains("role:master"))
    });
    super::until_ready(&store).await;
    assert!(store.find(&live.id, present()).await.unwrap().is_some());
    assert_eq!(store.find(&ended.id, present()).await.unwrap(), None);
}

#[tokio::test]
async fn a_name_that_the_sentinels_do_not_know_leads_nowhere() {
    let master = Server::start(Brand::Redis, &[]);
    let watching = sentinel(&master);
    let url = format!("redis+sentinel://{}/other", watching.address());
    let store = RedisStore::open(config(&url));
    super::until_failing_fast(&store, "sentinel").await;
}
