//! Several servers behind the one that is asked.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use neptun_auth::session::{Ended, SessionStore as _, StoreErrorKind};
use neptun_auth::store::{RedisConfig, RedisStore};

use super::server::{Brand, Server};
use super::{config, connected, fresh_session, in_time, kept, kind_of, present, until_ready};
use crate::support::wait_until;

/// A master with a replica that follows it.
pub(super) fn pair(brand: Brand) -> (Server, Server) {
    let master = Server::start(brand, &[]);
    let replica = master.start_replica();
    wait_until("the replica follows", || {
        master.says("replication", "state=online")
    });
    (master, replica)
}

async fn waiting_store(master: &Server) -> Arc<RedisStore> {
    let store = RedisStore::open(RedisConfig {
        wait_replicas: 1,
        ..config(&master.url())
    });
    until_ready(&store).await;
    Arc::new(store)
}

async fn a_frozen_replica(brand: Brand) {
    let (master, replica) = pair(brand);
    let store = waiting_store(&master).await;
    let (session, other) = (kept(&store, "anna").await, kept(&store, "berta").await);
    let third = kept(&store, "carla").await;
    replica.freeze();

    let unconfirmed = StoreErrorKind::Unconfirmed;
    let answer = in_time(store.delete(&session.id, present())).await;
    let error = answer.unwrap_err();
    assert_eq!((error.kind(), error.class()), (unconfirmed, "wait"));
    assert_eq!(error.ended().sessions, std::slice::from_ref(&session));
    // A retry finds nothing to end, and is no more certain of it.
    let answer = in_time(store.delete(&session.id, present())).await;
    let error = answer.unwrap_err();
    assert_eq!(
        (error.kind(), error.ended()),
        (unconfirmed, &Ended::default())
    );
    // Nor is one through a connection that has written nothing at all.
    let elsewhere = waiting_store(&master).await;
    let answer = in_time(elsewhere.delete(&session.id, present())).await;
    assert_eq!(kind_of(answer), unconfirmed);
    let answer = in_time(store.insert(fresh_session("anna"), present())).await;
    assert_eq!(kind_of(answer), unconfirmed);
    for _ in 0..2 {
        let answer = in_time(store.delete_all(&other.user, present(), None)).await;
        assert_eq!(kind_of(answer), unconfirmed);
    }

    // Fifty at once pay for the silence once, and reads do not pay at all.
    let callers = (0..50).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let id = fresh_session("nobody").id;
            let answer = in_time(store.delete(&id, present())).await;
            assert_eq!(kind_of(answer), StoreErrorKind::Unconfirmed);
        })
    });
    let reading = async {
        for _ in 0..20 {
            let start = std::time::Instant::now();
            let found = store.find(&third.id, present()).await.unwrap();
            assert!(found.is_some() && start.elapsed() < Duration::from_millis(200));
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    let (callers, ()) = tokio::join!(join_all(callers), reading);
    callers.into_iter().for_each(Result::unwrap);

    replica.thaw();
    // The retry settles it: ended already, and now for certain.
    let settled = async {
        loop {
            if let Ok(answer) = store.delete(&session.id, present()).await {
                break answer;
            }
        }
    };
    let settled = tokio::time::timeout(super::RECOVERY, settled)
        .await
        .unwrap();
    assert_eq!(settled, None);
    assert!(store.delete(&third.id, present()).await.unwrap().is_some());
    let key = format!("EXISTS neptun-auth:s:{}", third.id);
    assert!(replica.ask(&key).unwrap().starts_with(":0"));
}

#[tokio::test]
async fn a_frozen_redis_replica_leaves_changes_unconfirmed_until_a_retry_settles_them() {
    a_frozen_replica(Brand::Redis).await;
}

#[tokio::test]
async fn a_frozen_valkey_replica_leaves_changes_unconfirmed_until_a_retry_settles_them() {
    a_frozen_replica(Brand::Valkey).await;
}

#[tokio::test]
async fn what_was_acknowledged_with_a_replica_stays_over_when_that_takes_the_place_of_its_master() {
    let (mut master, replica) = pair(Brand::Redis);
    let store = waiting_store(&master).await;
    let sessions = join_all((0..50).map(|_| kept(&store, "anna"))).await;
    let (ended, live) = sessions.split_at(25);
    let ends = ended
        .iter()
        .map(|session| store.delete(&session.id, present()));
    for answer in join_all(ends).await {
        assert!(answer.unwrap().is_some());
    }
    master.kill();
    replica.ask("REPLICAOF NO ONE").unwrap();
    let heir = connected(&replica).await;
    for session in ended {
        assert_eq!(heir.find(&session.id, present()).await.unwrap(), None);
    }
    for session in live {
        assert!(heir.find(&session.id, present()).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_master_out_of_memory_still_confirms_the_end_of_a_session() {
    let (master, _replica) = pair(Brand::Redis);
    let store = waiting_store(&master).await;
    let session = kept(&store, "anna").await;
    master.ask("CONFIG SET maxmemory 1mb").unwrap();
    assert!(
        store
            .delete(&session.id, present())
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(store.delete(&session.id, present()).await.unwrap(), None);
}
