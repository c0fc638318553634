//! What the server promises, and what is made of it.

use neptun_auth::session::SessionStore as _;
use neptun_auth::store::{RedisConfig, RedisStore};

use super::server::{Brand, Server};
use super::tls::tls_server;
use super::{class_of, config, kept, until_failing_fast, until_ready};

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
