//! What the server promises: said in the log, and asked for with a setting.

use serde_json::json;

use super::super::replicas::pair;
use super::super::server::{Brand, DURABLE, Server};
use super::{assert_not_cleared, logout, ready_service_on, revoke_all, service_on, status_of};
use crate::sealed::{PASSWORD, sealed};
use crate::support::lines_with;

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
    let server = Server::start(Brand::Redis, &DURABLE);
    let service = ready_service_on(&server.url(), &["--redis-require-durable", "true"]);
    let (_, log) = service.stop();
    assert_eq!(lines_with(&log, &[TOO_LITTLE]).len(), 0, "{log:#?}");
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
    let reconnect = || server.ask("CLIENT KILL TYPE normal").unwrap();
    reconnect();
    service.until_ready();
    server.ask("CONFIG SET maxmemory 100mb").unwrap();
    server
        .ask("CONFIG SET maxmemory-policy volatile-lru")
        .unwrap();
    reconnect();
    let line = service.wait_for_line(TOO_LITTLE);
    assert!(line.contains("evicted"), "{line}");
}

#[test]
fn what_ended_without_the_replicas_word_is_said_and_counted_once() {
    let (master, replica) = pair(Brand::Redis);
    let settings = ["--redis-wait-replicas", "1", "--sealed-password", PASSWORD];
    let mut service = ready_service_on(&master.url(), &settings);
    let one = service.issue_as(&json!({ "user": "42" }));
    let token = one["token"].as_str().unwrap();
    for _ in 0..2 {
        service.token_of("43");
    }
    let seal = sealed("a-seal", "45");
    replica.freeze();

    assert_not_cleared(&logout(&service, token));
    let line = service.wait_for("session ended");
    assert_eq!(
        (&line["session"], &line["user"], &line["reason"]),
        (&one["id"], &one["user"], &json!("logout"))
    );
    // There is nothing left to end, and so nothing more to say.
    assert_not_cleared(&logout(&service, token));
    assert_not_cleared(&logout(&service, &seal));
    assert_eq!(service.wait_for("session ended")["user"], "45");
    assert_not_cleared(&logout(&service, &seal));

    assert_eq!(revoke_all(&service, "43").status, 500);
    let line = service.wait_for("sessions ended by");
    assert_eq!(
        (&line["user"], &line["reason"], &line["count"]),
        (&json!("43"), &json!("user"), &json!(2))
    );

    replica.thaw();
    assert_eq!(service.logout(token).body, "false");
    assert_eq!(["logout", "user"].map(|why| service.ended_for(why)), [2, 2]);
    let (_, log) = service.stop();
    let said = |text: &str| lines_with(&log, &[text]).len();
    assert_eq!(said("session ended\""), 2, "{log:#?}");
    assert_eq!(said(token) + said(&seal), 0);
}
