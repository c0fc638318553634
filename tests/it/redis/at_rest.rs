//! What lies in the server: under one prefix, nothing of a token, and nothing for ever.

use std::time::Duration;

use neptun_auth::session::{
    Label, Moment, SealedSession, Session, SessionStore as _, SessionToken, StoreError,
};
use neptun_auth::store::RedisStore;
use redis::aio::MultiplexedConnection;

use super::replicas::pair;
use super::server::{Brand, Server};
use super::{config, connected, fresh_session, kept, present, session_of, until_ready, user};

async fn raw(server: &Server) -> MultiplexedConnection {
    let client = redis::Client::open(server.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

async fn ask<T: redis::FromRedisValue>(server: &Server, words: &[&str]) -> T {
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(word);
    }
    command.query_async(&mut raw(server).await).await.unwrap()
}

/// One of everything the store ever writes.
async fn one_of_each(store: &RedisStore, token: &SessionToken) -> Result<(), StoreError> {
    let at = present();
    let session = session_of(token, "anna");
    let sealed = SealedSession {
        id: session.id,
        user: Some(user("berta")),
        created_at: at.now,
        expires_at: session.expires_at,
    };
    store.insert(session.clone(), at).await?;
    let idling = Moment {
        idle_timeout: Some(Duration::from_mins(30)),
        ..Moment::of(at.now.plus(Duration::from_mins(2)))
    };
    store.touch(&session.id, idling).await?;
    assert!(store.revoke_sealed(&sealed, at).await?);
    store
        .delete_all(&user("carla"), at, Some(session.expires_at))
        .await?;
    Ok(())
}

#[tokio::test]
async fn every_key_is_under_the_prefix_and_expires_and_none_has_anything_of_a_token() {
    let (server, _replica) = pair(Brand::Redis);
    let store = RedisStore::open(neptun_auth::store::RedisConfig {
        prefix: "some prefix:".to_owned(),
        wait_replicas: 1,
        ..config(&server.url())
    });
    until_ready(&store).await;
    let token = SessionToken::generate().unwrap();
    one_of_each(&store, &token).await.unwrap();

    let mut keys: Vec<String> = ask(&server, &["KEYS", "*"]).await;
    keys.sort();
    let kinds: Vec<_> = keys
        .iter()
        .map(|key| &key["some prefix:".len()..][..2])
        .collect();
    assert_eq!(kinds, ["m:", "r:", "s:", "u:", "w:"]);
    let mut everything = keys.concat();
    for key in &keys {
        assert!(key.starts_with("some prefix:"), "{key}");
        let left: i64 = ask(&server, &["PTTL", key]).await;
        assert!(left > 0, "{key} never expires");
        let kind: String = ask(&server, &["TYPE", key]).await;
        if kind == "zset" {
            let members: Vec<String> = ask(&server, &["ZRANGE", key, "0", "-1"]).await;
            everything.extend(members);
        } else {
            everything += &ask::<String>(&server, &["GET", key]).await;
        }
    }
    let secret = token.expose();
    for part in secret.as_bytes().windows(8) {
        let part = std::str::from_utf8(part).unwrap();
        assert!(!everything.contains(part), "{part} of {secret} is kept");
    }
}

#[tokio::test]
async fn a_session_reads_as_documented_and_its_key_outlives_its_deadline_by_a_minute() {
    let server = Server::start(Brand::Redis, &[]);
    let store = connected(&server).await;
    let session = kept(&store, "anna b").await;
    let key = format!("neptun-auth:s:{}", session.id);
    let record: String = ask(&server, &["GET", &key]).await;
    let (created, expires) = (
        session.created_at.as_millis(),
        session.expires_at.as_millis(),
    );
    assert_eq!(record, format!("{created} {created} {expires} anna b"));
    let labelled = Session {
        label: Label::new("Firefox on Linux, Vienna").ok(),
        ..fresh_session("anna b")
    };
    store.insert(labelled.clone(), present()).await.unwrap();
    let second: String = ask(&server, &["GET", &format!("neptun-auth:s:{}", labelled.id)]).await;
    assert!(
        second.ends_with(" anna b\nFirefox on Linux, Vienna"),
        "{second}"
    );
    let left: i64 = ask(&server, &["PTTL", &key]).await;
    assert!((3_650_000..=3_660_000).contains(&left), "{left}");
    let index = "neptun-auth:u:anna b";
    let left: i64 = ask(&server, &["PTTL", index]).await;
    assert!((3_650_000..=3_660_000).contains(&left), "{left}");
    let idling = Moment {
        idle_timeout: Some(Duration::from_mins(10)),
        ..Moment::of(session.created_at.plus(Duration::from_mins(2)))
    };
    assert!(store.touch(&session.id, idling).await.unwrap());
    let left: i64 = ask(&server, &["PTTL", &key]).await;
    assert!((650_000..=660_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_clock_that_was_set_shortens_the_time_of_no_key() {
    const DAY: i64 = 24 * 60 * 60 * 1_000;
    let server = Server::start(Brand::Redis, &[]);
    let store = connected(&server).await;
    let (at, week) = (present(), Duration::from_hours(7 * 24));
    let mut session = fresh_session("anna");
    session.expires_at = session.created_at.plus(week);
    store.insert(session.clone(), at).await.unwrap();
    let sealed = SealedSession {
        id: session.id,
        user: None,
        created_at: at.now,
        expires_at: at.now.plus(week),
    };
    // The clock is six days ahead; then it has just been put right: the machine had booted in 1970.
    let ahead = Moment {
        now: at.now.plus(Duration::from_hours(6 * 24)),
        ahead_by: 6 * DAY,
        ..at
    };
    let put_right = Moment {
        ahead_by: at.now.as_millis(),
        ..at
    };
    for set in [put_right, ahead] {
        let used = Moment {
            now: set.now.plus(Duration::from_mins(2)),
            ..set
        };
        let _: u32 = ask(&server, &["DEL", &format!("neptun-auth:r:{}", sealed.id)]).await;
        assert!(store.revoke_sealed(&sealed, set).await.unwrap());
        assert!(store.touch(&session.id, used).await.unwrap());
        for kind in ["s", "r"] {
            let key = format!("neptun-auth:{kind}:{}", session.id);
            let left: i64 = ask(&server, &["PTTL", &key]).await;
            let whole = 7 * DAY + 60_000;
            assert!((whole - 180_000..=whole).contains(&left), "{kind} {left}");
        }
    }
}

#[tokio::test]
async fn ended_sessions_leave_nothing_behind() {
    let server = Server::start(Brand::Redis, &[]);
    let store = connected(&server).await;
    for _ in 0..3 {
        let session = kept(&store, "anna").await;
        store.delete(&session.id, present()).await.unwrap();
    }
    kept(&store, "berta").await;
    store
        .delete_all(&user("berta"), present(), None)
        .await
        .unwrap();
    assert_eq!(
        store.list(&user("anna"), present()).await.unwrap().sessions,
        []
    );
    let keys: Vec<String> = ask(&server, &["KEYS", "*"]).await;
    assert_eq!(keys, [""; 0]);
}

#[tokio::test]
async fn an_index_that_is_stale_is_not_believed_and_is_repaired() {
    let server = Server::start(Brand::Redis, &[]);
    let store = connected(&server).await;
    let live = kept(&store, "anna").await;
    let index = "neptun-auth:u:anna";
    // As left behind by crashes between the two steps of ending a session.
    for _ in 0..200 {
        let gone = fresh_session("anna").id.to_string();
        let _: u32 = ask(&server, &["ZADD", index, "9999999999999", &gone]).await;
    }
    let listed = store.list(&live.user, present()).await.unwrap().sessions;
    assert_eq!(listed, std::slice::from_ref(&live));
    let size: u32 = ask(&server, &["ZCARD", index]).await;
    assert_eq!(size, 1);
    // Lost altogether: the next use of the session enters it again.
    let _: u32 = ask(&server, &["DEL", index]).await;
    let later = Moment::of(present().now.plus(Duration::from_mins(2)));
    assert!(store.touch(&live.id, later).await.unwrap());
    let ended = store.delete_all(&live.user, later, None).await.unwrap();
    assert_eq!(ended.len(), 1);
}

#[tokio::test]
async fn an_index_does_not_grow_with_sessions_that_are_gone() {
    let server = Server::start(Brand::Redis, &[]);
    let store = connected(&server).await;
    for number in 0..500 {
        let session = kept(&store, "anna").await;
        // As if it had idled out.
        if number > 0 {
            let key = format!("neptun-auth:s:{}", session.id);
            let _: u32 = ask(&server, &["DEL", &key]).await;
        }
    }
    let size: u32 = ask(&server, &["ZCARD", "neptun-auth:u:anna"]).await;
    assert!(size < 200, "{size} ids for one session");
    let expired = Moment::of(present().now.plus(Duration::from_hours(2)));
    let mut session = fresh_session("anna");
    session.expires_at = expired.now.plus(Duration::from_hours(1));
    store.insert(session, expired).await.unwrap();
    let size: u32 = ask(&server, &["ZCARD", "neptun-auth:u:anna"]).await;
    assert_eq!(size, 1);
}

#[tokio::test]
async fn a_login_costs_the_same_however_many_sessions_the_user_has() {
    const MANY: u64 = 3_000;
    let server = Server::start(Brand::Redis, &[]);
    let store = connected(&server).await;
    let commands = || {
        let stats = server.ask("INFO stats").unwrap();
        let count = stats.split("total_commands_processed:").nth(1).unwrap();
        count.lines().next().unwrap().parse::<u64>().unwrap()
    };
    let before = commands();
    for _ in 0..MANY {
        kept(&store, "anna").await;
    }
    let each = (commands() - before) / MANY;
    // Those in the script are counted too.
    assert!(each < 20, "{each} commands for a login");
}
