//! Servers that stop, die, refuse or say nothing: every call ends in its time, and the first good
//! answer comes soon after they are back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use neptun_auth::session::{SessionStore as _, StoreError, StoreErrorKind};
use neptun_auth::store::RedisStore;
use tokio::net::TcpListener;

use super::server::{Brand, DURABLE, Server};
use super::{
    TIMEOUT, class_of, connected, fresh_session, in_time, kept, kind_of, present, store_at,
    until_failing_fast, until_ready,
};
use crate::support::relay::Relay;
use crate::support::wait_until;

/// Whether a change comes to nothing in its time. It may go on to hear what became of it.
async fn fails<T>(change: impl Future<Output = Result<T, StoreError>>) -> bool {
    let answer = tokio::time::timeout(TIMEOUT, change).await;
    !matches!(answer, Ok(Ok(_)))
}

/// Fifty callers at once, each held to its time; all of them fail.
async fn all_of_fifty_fail_in_time(store: &Arc<RedisStore>) {
    let callers = (0..50).map(|number| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let session = fresh_session("anna");
            match number % 3 {
                0 => assert!(in_time(store.find(&session.id, present())).await.is_err()),
                1 => assert!(fails(store.delete(&session.id, present())).await),
                _ => assert!(fails(store.insert(session, present())).await),
            }
        })
    });
    for caller in join_all(callers).await {
        caller.unwrap();
    }
}

#[tokio::test]
async fn a_frozen_server_fails_every_call_in_time_then_at_once_and_is_found_again() {
    let server = Server::start(Brand::Redis, &[]);
    let store = connected(&server).await;
    let session = kept(&store, "anna").await;
    server.freeze();
    all_of_fifty_fail_in_time(&store).await;
    until_failing_fast(&store, "timeout").await;
    all_of_fifty_fail_in_time(&store).await;
    assert_eq!(
        kind_of(in_time(store.ready()).await),
        StoreErrorKind::Unavailable
    );
    server.thaw();
    until_ready(&store).await;
    let found = store.find(&session.id, present()).await.unwrap();
    assert_eq!(found, Some(session));
}

#[tokio::test]
async fn a_short_freeze_costs_nobody_the_connection() {
    let server = Server::start(Brand::Redis, &[]);
    let store = connected(&server).await;
    let session = kept(&store, "anna").await;
    server.freeze();
    let asking = {
        let (store, id) = (Arc::clone(&store), session.id);
        tokio::spawn(async move { store.find(&id, present()).await })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.thaw();
    assert_eq!(asking.await.unwrap().unwrap(), Some(session));
}

#[tokio::test]
async fn a_killed_server_fails_every_call_at_once_and_is_found_again_with_its_data() {
    let mut server = Server::start(Brand::Redis, &DURABLE);
    let store = connected(&server).await;
    let (ended, live) = (kept(&store, "anna").await, kept(&store, "anna").await);
    assert!(store.delete(&ended.id, present()).await.unwrap().is_some());
    server.kill();
    all_of_fifty_fail_in_time(&store).await;
    until_failing_fast(&store, "io").await;
    server.launch();
    until_ready(&store).await;
    assert_eq!(store.delete(&ended.id, present()).await.unwrap(), None);
    assert_eq!(
        store.delete_all(&live.user, present(), None).await.unwrap(),
        [live]
    );
}

#[tokio::test]
async fn a_server_that_was_restarted_while_nobody_called_costs_no_call_an_error() {
    let mut server = Server::start(Brand::Redis, &DURABLE);
    let store = connected(&server).await;
    let session = kept(&store, "anna").await;
    server.kill();
    server.start_again();
    until_ready(&store).await;
    // Scripts and all: the new process knows none of them.
    assert!(store.touch(&session.id, present()).await.unwrap());
    assert!(
        store
            .delete(&session.id, present())
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn a_server_that_drops_all_connections_costs_no_reader_an_error() {
    let server = Server::start(Brand::Redis, &[]);
    let store = connected(&server).await;
    let session = kept(&store, "anna").await;
    for _ in 0..3 {
        server.ask("CLIENT KILL TYPE normal").unwrap();
        let found = in_time(store.find(&session.id, present())).await.unwrap();
        assert!(found.is_some());
    }
}

#[tokio::test]
async fn a_port_that_takes_connections_and_never_answers_fails_every_call_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store = store_at(&format!("redis://{}", silent.local_addr().unwrap()));
    all_of_fifty_fail_in_time(&store).await;
    until_failing_fast(&store, "timeout").await;
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_replaced_by_one_that_does_not() {
    let server = Server::start(Brand::Redis, &[]);
    let way = Relay::to(server.address());
    let store = store_at(&format!("redis://{}", way.address));
    until_ready(&store).await;
    let session = kept(&store, "anna").await;
    way.swallow_what_is_open();
    let start = Instant::now();
    assert_eq!(
        kind_of(in_time(store.find(&session.id, present())).await),
        StoreErrorKind::TimedOut
    );
    until_ready(&store).await;
    assert!(start.elapsed() < TIMEOUT + super::RECOVERY);
    assert!(store.find(&session.id, present()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_late_reply_goes_to_nobody() {
    let server = Server::start(Brand::Redis, &[]);
    let store = connected(&server).await;
    let (one, other) = (kept(&store, "one").await, kept(&store, "other").await);
    for _ in 0..20 {
        // The caller goes away with its reply on the way.
        let given_up = store.find(&one.id, present());
        let _ = tokio::time::timeout(Duration::from_micros(30), given_up).await;
        let found = store.find(&other.id, present()).await.unwrap();
        assert_eq!(found.unwrap().user, other.user);
    }
}

#[tokio::test]
async fn a_server_that_is_still_loading_is_waited_for() {
    let arguments = ["--appendonly", "yes", "--key-load-delay", "1000"];
    let mut server = Server::start(Brand::Redis, &arguments);
    let store = connected(&server).await;
    for _ in 0..1_500 {
        kept(&store, "anna").await;
    }
    server.kill();
    server.launch();
    until_failing_fast(&store, "loading").await;
    assert_eq!(class_of(in_time(store.ready()).await), "loading");
    wait_until("loaded", || {
        let answer = server.ask("PING");
        answer.is_ok_and(|answer| answer.contains("PONG"))
    });
    until_ready(&store).await;
}

#[tokio::test]
async fn a_wrong_password_has_a_word_of_its_own_and_the_right_one_lets_in() {
    let server = Server::start(Brand::Redis, &["--requirepass", "right"]);
    for login in ["", ":wrong@", "someone:right@"] {
        let store = store_at(&format!("redis://{login}{}", server.address()));
        until_failing_fast(&store, "noauth").await;
        assert_eq!(class_of(store.ready().await), "noauth");
    }
    let store = store_at(&format!("redis://:right@{}", server.address()));
    until_ready(&store).await;
}

#[tokio::test]
async fn a_master_that_became_a_replica_is_not_even_read_from() {
    let (master, server) = (
        Server::start(Brand::Redis, &[]),
        Server::start(Brand::Redis, &[]),
    );
    let store = connected(&server).await;
    let session = kept(&store, "anna").await;
    let follow = format!("REPLICAOF 127.0.0.1 {}", master.port());
    server.ask(&follow).unwrap();
    assert!(in_time(store.delete(&session.id, present())).await.is_err());
    until_failing_fast(&store, "readonly").await;
    server.ask("REPLICAOF NO ONE").unwrap();
    until_ready(&store).await;
    kept(&store, "anna").await;
}

async fn out_of_memory(brand: Brand) {
    let server = Server::start(brand, &["--maxmemory-policy", "noeviction"]);
    let store = connected(&server).await;
    let mut sessions = Vec::new();
    for _ in 0..100 {
        sessions.push(kept(&store, "anna").await);
    }
    let others = kept(&store, "other").await;
    server.ask("CONFIG SET maxmemory 1mb").unwrap();
    let refused = fresh_session("anna");
    let sealed = neptun_auth::session::SealedSession {
        id: refused.id,
        user: Some(refused.user.clone()),
        created_at: refused.created_at,
        expires_at: refused.expires_at,
    };
    let at = present();
    assert_eq!(class_of(store.insert(refused.clone(), at).await), "oom");
    assert_eq!(class_of(store.revoke_sealed(&sealed, at).await), "oom");
    assert!(!store.is_revoked(&sealed, at).await.unwrap());
    let later = neptun_auth::session::Moment {
        now: at.now.plus(Duration::from_mins(2)),
        ..at
    };
    assert_eq!(class_of(store.touch(&others.id, later).await), "oom");
    let one = sessions.pop().unwrap();
    assert_eq!(store.find(&one.id, at).await.unwrap(), Some(one.clone()));
    assert_eq!(store.delete(&one.id, at).await.unwrap(), Some(one));
    let ended = store.delete_all(&sessions[0].user, at, None).await.unwrap();
    assert_eq!(ended.len(), sessions.len());
    let until = Some(at.now.plus(Duration::from_hours(1)));
    let marked = store.delete_all(&others.user, at, until).await;
    assert_eq!(class_of(marked), "oom");
    assert_eq!(store.find(&others.id, at).await.unwrap(), None);
    assert!(store.ready().await.is_ok());
    server.ask("CONFIG SET maxmemory 0").unwrap();
    store.insert(refused, at).await.unwrap();
}

#[tokio::test]
async fn a_redis_that_is_out_of_memory_ends_sessions_and_takes_none() {
    out_of_memory(Brand::Redis).await;
}

#[tokio::test]
async fn a_valkey_that_is_out_of_memory_ends_sessions_and_takes_none() {
    out_of_memory(Brand::Valkey).await;
}
