//! Users of the server who may not do everything: what is documented is enough, and what is
//! lacking is named.

use std::time::{Duration, Instant};

use super::super::cluster::Cluster;
use super::super::replicas::pair;
use super::super::server::{Brand, Server};
use super::super::watched::Watched;
use super::connecting::assert_works;
use super::history::{is_in, try_issue};
use super::{check, logout, ready_service_on, revoke_all, service_on, status_of};
use crate::support::{Service, lines_with, wait_within};

/// What an ACL user needs, as tests/deploy/README.md says: at the servers, and at the Sentinels.
fn documented() -> [String; 2] {
    let said = include_str!("../../../deploy/README.md");
    let (_, rest) = said.split_once("An ACL user needs").unwrap();
    let (said, _) = rest.split_once("Error classes").unwrap();
    let (servers, sentinels) = said
        .lines()
        .partition(|line| !line.contains("at the Sentinels"));
    [servers, sentinels].map(|lines: Vec<&str>| {
        let lines = lines.join(" ").replace("\\|", "|");
        let quoted = lines.split('`').skip(1).step_by(2);
        let rights = quoted.filter(|quoted| quoted.starts_with(['+', '~']));
        rights.collect::<Vec<_>>().join(" ")
    })
}

fn allow(server: &Server, rights: &str) {
    server.done(&format!("ACL SETUSER few reset on >pw {rights}"));
}

fn assert_nothing_is_lacking(service: Service) {
    let (_, log) = service.stop();
    for word in ["rights", "noperm"] {
        assert_eq!(lines_with(&log, &[word]), [""; 0]);
    }
}

#[test]
fn the_documented_rights_are_enough_for_one_server_and_its_replicas() {
    let (server, _replica) = pair(Brand::Redis);
    let [rights, _] = documented();
    allow(&server, &rights);
    let url = format!("redis://few:pw@{}/3", server.address());
    let service = ready_service_on(&url, &["--redis-wait-replicas", "1"]);
    assert_works(&service);
    let token = service.token_of("42");
    assert_eq!(revoke_all(&service, "42").json()["revoked"], 1);
    assert_eq!(check(&service, &token).status, 401);
    assert_nothing_is_lacking(service);
}

#[test]
fn the_documented_rights_are_enough_for_a_cluster() {
    let cluster = Cluster::of_masters();
    let [rights, _] = documented();
    for node in &cluster.masters {
        allow(node, &rights);
    }
    let url = cluster.url_from(0).replace("://", "://few:pw@");
    let service = ready_service_on(&url, &[]);
    for _ in 0..10 {
        assert_works(&service);
    }
    assert_nothing_is_lacking(service);
}

#[test]
fn the_documented_rights_are_enough_at_sentinels() {
    let watched = Watched::start(1, 3);
    let [rights, at_sentinels] = documented();
    for server in &watched.servers {
        allow(server, &rights);
    }
    for sentinel in &watched.sentinels {
        allow(sentinel, &at_sentinels);
    }
    let url = watched.url().replace("://", "://few");
    let login = "sentinel-username=few&sentinel-password=pw";
    let service = ready_service_on(&format!("{url}?{login}"), &[]);
    watched.hide_master();
    let successor = watched.successor();
    wait_within(Duration::from_secs(2), "it has followed", || {
        try_issue(&service, "42").is_some_and(|(id, _)| is_in(&id, successor))
    });
    assert_works(&service);
    assert_nothing_is_lacking(service);
}

#[test]
fn a_right_to_ask_for_the_role_that_is_lacking_is_one_warning_that_names_it() {
    let server = Server::start(Brand::Redis, &[]);
    server.done("ACL SETUSER few on >pw ~neptun-auth:* +@all -role");
    let url = format!("redis://few:pw@{}", server.address());
    let service = ready_service_on(&url, &[]);
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        let token = service.token_of("42");
        assert_eq!(logout(&service, &token).body, "true");
        assert_eq!(check(&service, &token).status, 401);
    }
    let (_, log) = service.stop();
    let told = lines_with(&log, &["\"WARN\"", "role"]);
    assert_eq!(told.len(), 1, "{log:#?}");
}

#[test]
fn without_the_right_to_select_a_database_one_is_told_which_right_is_lacking() {
    let server = Server::start(Brand::Redis, &[]);
    server.done("ACL SETUSER few on >pw ~neptun-auth:* +@all -select");
    let login = format!("redis://few:pw@{}", server.address());
    let mut service = service_on(&format!("{login}/3"), &[]);
    let line = service.wait_for_line("noperm");
    assert!(line.to_lowercase().contains("select"), "{line}");
    assert_eq!(status_of(&service, "/readyz"), 503);
    assert_works(&ready_service_on(&login, &[]));
    server.done("ACL SETUSER few +select");
    service.until_ready();
    assert_works(&service);
}
