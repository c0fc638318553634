//! What the server promises: said in the log, and asked for with a setting.

use super::super::server::{Brand, Server};
use super::{ready_service_on, service_on, status_of};

const TOO_LITTLE: &str = "the session store promises too little";

#[test]
fn a_weak_promise_is_warned_of_at_start_and_again_when_the_server_is_back() {
    let mut server = Server::start(Brand::Redis, &[]);
    let mut service = service_on(&server.url(), &[]);
    for _ in 0..2 {
        let line = service.wait_for_line(TOO_LITTLE);
        assert!(line.contains("\"level\":\"WARN\""), "{line}");
        assert!(line.contains("appendonly is no"), "{line}");
        server.kill();
        server.launch();
    }
}

#[test]
fn a_durable_server_is_not_warned_of() {
    let always = ["--appendonly", "yes", "--appendfsync", "always"];
    let server = Server::start(Brand::Redis, &always);
    let service = ready_service_on(&server.url(), &["--redis-require-durable", "true"]);
    let (_, log) = service.stop();
    assert!(
        !log.iter().any(|line| line.contains(TOO_LITTLE)),
        "{log:#?}"
    );
}

#[test]
fn one_that_must_be_durable_serves_on_a_weak_server_but_is_not_ready() {
    let server = Server::start(Brand::Redis, &["--appendonly", "yes"]);
    let mut service = service_on(&server.url(), &["--redis-require-durable", "true"]);
    let line = service.wait_for_line(TOO_LITTLE);
    assert!(line.contains("appendfsync is everysec"), "{line}");
    assert_eq!(status_of(&service, "/readyz"), 503);
    assert_eq!(status_of(&service, "/healthz"), 200);
    let token = service.token_of("42");
    assert_eq!(service.logout(&token).body, "true");
    // The promise is read when connecting.
    server.ask("CONFIG SET appendfsync always").unwrap();
    server.ask("CLIENT KILL TYPE normal").unwrap();
    crate::support::start::until_ready(&service);
}
