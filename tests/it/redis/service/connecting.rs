//! Ways to a server that are long, and servers that do not let one do all.

use std::time::{Duration, Instant};

use super::super::RECOVERY;
use super::super::server::{Brand, DURABLE, Server};
use super::super::tls::tls_server;
use super::{check, logout, ready_service_on, service_on, status_of};
use crate::support::relay::Relay;
use crate::support::{Service, lines_with, wait_until, wait_within};

const PATIENT: [&str; 2] = ["--store-timeout", "5s"];

/// A session is issued, passes and is ended.
pub(super) fn assert_works(service: &Service) {
    let token = service.token_of("42");
    assert!(service.is_live(&token));
    assert_eq!(service.logout(&token).body, "true");
    assert!(!service.is_live(&token));
}

#[test]
fn a_server_that_is_far_away_is_reached_in_the_time_that_a_call_may_take() {
    let server = Server::start(Brand::Redis, &["--requirepass", "pw"]);
    let way = Relay::to(server.address());
    way.set_round_trip(Duration::from_millis(300));
    let url = format!("redis://:pw@{}/2", way.address);
    let begun = Instant::now();
    let service = ready_service_on(&url, &PATIENT);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert_works(&service);
}

#[test]
fn a_long_time_for_a_call_delays_nobody_when_the_server_is_back() {
    let server = Server::start(Brand::Redis, &[]);
    let way = Relay::to(server.address());
    let service = ready_service_on(&format!("redis://{}", way.address), &PATIENT);
    let token = service.token_of("42");
    way.swallow_everything();
    // An attempt that is swallowed may last as long as a call.
    let until_calls_fail = || {
        wait_until("calls fail", || {
            let begun = Instant::now();
            service.check(&token).status == 503 && begun.elapsed() < Duration::from_secs(1)
        });
    };
    until_calls_fail();
    for _ in 0..3 {
        // At whatever moment between two attempts it is.
        std::thread::sleep(Duration::from_millis(330));
        way.let_through();
        let returned = Instant::now();
        wait_within(RECOVERY, "a good answer", || {
            // The answer may wait for what is swallowed.
            service.check(&token).status == 204
        });
        assert!(returned.elapsed() < RECOVERY);
        way.swallow_everything();
        until_calls_fail();
    }
}

#[test]
fn a_server_that_demands_a_certificate_gets_the_one_that_was_given() {
    let server = tls_server("yes");
    let file = |name: &str| server.directory().join(name).display().to_string();
    let (ca, cert, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let url = format!("rediss://localhost:{}?ca-file={ca}", server.port());
    let service = ready_service_on(&format!("{url}&cert-file={cert}&key-file={key}"), &[]);
    assert_works(&service);
    let mut without = service_on(&url, &[]);
    without.wait_for_line("tls");
    assert_eq!(status_of(&without, "/readyz"), 503);
}

#[test]
fn a_server_whose_info_has_another_name_serves_all_the_same() {
    let server = Server::start(Brand::Redis, &["--rename-command", "INFO", "KNOW"]);
    let service = ready_service_on(&server.url(), &[]);
    assert_works(&service);
}

#[test]
fn a_server_that_cannot_end_sessions_makes_nobody_ready() {
    let server = Server::start(Brand::Redis, &["--rename-command", "GETDEL", ""]);
    let mut service = service_on(&server.url(), &[]);
    let line = service.wait_for_line("GETDEL");
    assert!(
        line.contains("\"WARN\"") || line.contains("\"ERROR\""),
        "{line}"
    );
    assert_eq!(status_of(&service, "/readyz"), 503);
    assert_eq!(status_of(&service, "/healthz"), 200);
}

#[test]
fn a_connection_that_the_server_closes_is_at_most_one_warning_and_costs_nobody_an_answer() {
    // Of which nothing else is to be warned.
    let server = Server::start(Brand::Redis, &DURABLE);
    let service = ready_service_on(&server.url(), &[]);
    let token = service.token_of("42");
    server.ask("CLIENT KILL TYPE normal").unwrap();
    wait_within(RECOVERY, "connected again", || {
        check(&service, &token).status == 204 && logout(&service, &token).body == "true"
    });
    let (_, log) = service.stop();
    assert!(lines_with(&log, &["\"WARN\""]).len() <= 1, "{log:#?}");
}
