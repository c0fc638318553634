//! Users of the server who may not do everything: what is lacking is named.

use std::time::{Duration, Instant};

use super::super::server::{Brand, Server};
use super::connecting::assert_works;
use super::{check, logout, ready_service_on, service_on, status_of};
use crate::support::start::until_ready;

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
    let is_about_it = |line: &&String| line.contains("\"WARN\"") && line.contains("role");
    assert_eq!(log.iter().filter(is_about_it).count(), 1, "{log:#?}");
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
    until_ready(&service);
    assert_works(&service);
}
