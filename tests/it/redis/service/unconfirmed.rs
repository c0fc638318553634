//! Changes that cannot be confirmed as configured: checks are still worth having, and operators are
//! told.

use std::time::Duration;

use super::super::replicas::pair;
use super::super::server::{Brand, DURABLE, Server};
use super::{assert_not_cleared, check, issue, logout, ready_service_on, service_on, status_of};
use crate::support::{Service, lines_with, unknown_token, wait_within};

const WAIT: [&str; 2] = ["--redis-wait-replicas", "1"];

/// How long a metric may be behind.
const PATIENCE: Duration = Duration::from_secs(5);

fn until_metric_is(service: &Service, value: u64) {
    wait_within(PATIENCE, "the metric tells", || {
        service.metric("neptun_auth_redis_unconfirmed") == Some(value)
    });
}

fn warnings(service: &mut Service, about: &str) -> usize {
    lines_with(service.logged(), &["\"WARN\"", about]).len()
}

/// Ready, and of two minds; `token` is a live session's.
fn assert_only_checks(service: &mut Service, token: &str) {
    until_metric_is(service, 1);
    assert_eq!(status_of(service, "/readyz"), 200);
    assert_eq!(check(service, token).status, 204);
    assert_not_cleared(&logout(service, token));
    assert_eq!(issue(service).status, 500);
    assert_eq!(status_of(service, "/readyz"), 200);
    let warned = warnings(service, "cannot be confirmed");
    assert!(warned > 0, "{:#?}", service.logged());
}

#[test]
fn a_server_without_the_replicas_that_are_waited_for_makes_ready_with_a_warning_and_a_metric() {
    let server = Server::start(Brand::Redis, &[]);
    let token = ready_service_on(&server.url(), &[]).token_of("42");
    let mut service = ready_service_on(&server.url(), &WAIT);
    assert_only_checks(&mut service, &token);
    // Once there is one, all is well.
    let replica = server.start_replica();
    wait_within(PATIENCE, "the replica follows", || {
        replica.says("replication", "master_link_status:up")
    });
    until_metric_is(&service, 0);
    wait_within(PATIENCE, "changes are confirmed", || {
        issue(&service).status == 201
    });
    assert_eq!(logout(&service, &token).status, 200);
}

#[test]
fn without_the_right_to_wait_one_is_ready_with_a_warning_and_a_metric() {
    let (server, _replica) = pair(Brand::Redis);
    server.done("ACL SETUSER few on >pw ~neptun-auth:* +@all -wait");
    let url = format!("redis://few:pw@{}", server.address());
    let token = ready_service_on(&url, &[]).token_of("42");
    let mut service = ready_service_on(&url, &WAIT);
    assert_only_checks(&mut service, &token);
}

#[test]
fn one_that_must_be_durable_is_not_ready_while_its_replicas_are_missing() {
    let server = Server::start(Brand::Redis, &DURABLE);
    let durable = ["--redis-require-durable", "true"];
    ready_service_on(&server.url(), &durable);
    let service = service_on(&server.url(), &[&WAIT[..], &durable].concat());
    until_metric_is(&service, 1);
    assert_eq!(status_of(&service, "/readyz"), 503);
    // And checks nevertheless.
    assert_eq!(check(&service, &unknown_token(1)).status, 401);
    let _replica = server.start_replica();
    wait_within(PATIENCE, "it is ready", || {
        status_of(&service, "/readyz") == 200
    });
    until_metric_is(&service, 0);
}

#[test]
fn more_replicas_than_are_waited_for_are_warned_of() {
    let (master, _replica) = pair(Brand::Redis);
    let mut waiting_for_all = ready_service_on(&master.url(), &WAIT);
    until_metric_is(&waiting_for_all, 0);
    assert_eq!(warnings(&mut waiting_for_all, "redis-wait-replicas"), 0);
    let _second = master.start_replica();
    wait_within(PATIENCE, "both follow", || {
        let known = master.ask("INFO replication").unwrap_or_default();
        known.matches("state=online").count() == 2
    });
    let mut waiting_for_one = ready_service_on(&master.url(), &WAIT);
    wait_within(PATIENCE, "it is said", || {
        warnings(&mut waiting_for_one, "redis-wait-replicas") == 1
    });
}
