//! What the server promises, and what is made of it.

use neptun_auth::session::SessionStore as _;
use neptun_auth::store::{RedisConfig, RedisStore};

use super::server::{Brand, DURABLE, Server};
use super::tls::tls_server;
use super::{class_of, config, connected, kept, until_failing_fast, until_ready};

async fn readiness_of_one_that_must_be_durable(arguments: &[&str]) -> &'static str {
    let server = Server::start(Brand::Redis, arguments);
    // Once one that asks for nothing is ready, the other has had its time too.
    let easy = connected(&server).await;
    let store = RedisStore::open(RedisConfig {
        require_durable: true,
        ..config(&server.url())
    });
    let ready = store.ready().await;
    kept(&easy, "anna").await;
    // Not ready is all it is.
    kept(&store, "anna").await;
    ready.map_or_else(|error| error.class(), |()| "ready")
}

#[tokio::test]
async fn only_a_durable_server_makes_one_ready_that_must_be_durable() {
    let everysec = ["--appendonly", "yes", "--appendfsync", "everysec"];
    let evicting = [
        &DURABLE[..],
        &["--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru"],
    ]
    .concat();
    let ready = readiness_of_one_that_must_be_durable;
    assert_eq!(ready(&DURABLE).await, "ready");
    assert_eq!(ready(&[]).await, "durability");
    assert_eq!(ready(&everysec).await, "durability");
    assert_eq!(ready(&evicting).await, "durability");
}

#[tokio::test]
async fn a_user_of_the_server_who_may_see_nothing_of_it_is_served() {
    let server = Server::start(Brand::Redis, &[]);
    let rule = "ACL SETUSER few on >pw ~neptun-auth:* +get +set +getdel +del +exists +eval +zadd \
                +zrange +zrem +zcard +zremrangebyscore +pttl +pexpire +ping";
    assert!(server.ask(rule).unwrap().contains("OK"));
    let url = format!("redis://few:pw@{}", server.address());
    let store = RedisStore::open(config(&url));
    until_ready(&store).await;
    let session = kept(&store, "anna").await;
    assert!(store.touch(&session.id, super::present()).await.unwrap());
    assert!(
        store
            .delete(&session.id, super::present())
            .await
            .unwrap()
            .is_some()
    );
    let strict = RedisStore::open(RedisConfig {
        require_durable: true,
        ..config(&url)
    });
    assert_eq!(class_of(strict.ready().await), "durability");
}

#[tokio::test]
async fn over_tls_the_certificate_must_be_signed_by_a_trusted_root_and_for_the_host() {
    let server = tls_server("no");
    let (port, ca) = (server.port(), server.directory().join("ca.pem"));
    let trusting = format!("?ca-file={}", ca.display());
    let at = |host: &str, query: &str| {
        RedisStore::open(config(&format!("rediss://{host}:{port}{query}")))
    };
    let store = at("localhost", &trusting);
    until_ready(&store).await;
    kept(&store, "anna").await;
    until_failing_fast(&at("127.0.0.1", &trusting), "tls").await;
    until_failing_fast(&at("localhost", ""), "tls").await;
    until_failing_fast(&at("localhost", "?ca-file=/nowhere.pem"), "tls").await;
}
