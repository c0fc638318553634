//! The service on Redis, from outside: what clients see of several replicas, of outages, and of a
//! server that promises too little.

mod cluster;
mod connecting;
mod demoted;
mod history;
mod many;
mod names;
mod outage;
mod promises;
mod replicas;
mod rights;
mod roles;
mod unconfirmed;

use std::net::SocketAddr;
use std::time::Instant;

use super::{RECOVERY, SLACK, TIMEOUT};
use crate::support::{Answer, Ask, Service, assert_envelope};

/// A service on this server, which need not be there yet.
fn service_on(url: &str, args: &[&str]) -> Service {
    Service::with(&[&["--store", url], args].concat())
}

fn ready_service_on(url: &str, args: &[&str]) -> Service {
    let service = service_on(url, args);
    service.until_ready();
    service
}

/// Asks, and holds the answer to its time.
fn ask_in_time(ask: &Ask, address: SocketAddr) -> Answer {
    let begun = Instant::now();
    let answer = ask.send(address);
    let took = begun.elapsed();
    assert!(took < TIMEOUT + SLACK, "after {took:?}: {answer:?}");
    answer
}

fn logout(service: &Service, token: &str) -> Answer {
    ask_in_time(&Ask::logout(token), service.public)
}

fn check(service: &Service, token: &str) -> Answer {
    ask_in_time(&Ask::check(token), service.public)
}

fn issue(service: &Service) -> Answer {
    ask_in_time(&Ask::login("42"), service.admin)
}

fn revoke_all(service: &Service, user: &str) -> Answer {
    ask_in_time(&Ask::revoke_all(user), service.admin)
}

fn status_of(service: &Service, target: &str) -> u16 {
    ask_in_time(&Ask::get(target), service.admin).status
}

fn assert_not_cleared(answer: &Answer) {
    let sentence = "Session could not be cleared";
    assert_envelope(answer, 500, "Internal Server Error", sentence);
}

fn assert_unavailable(answer: &Answer) {
    let sentence = "The session store is unavailable";
    assert_envelope(answer, 503, "Service Unavailable", sentence);
}

/// Asks `check` until it gives a good answer, which must come soon after the server's return.
fn assert_soon_live(service: &Service, token: &str, returned: Instant) {
    while check(service, token).status != 204 {
        assert!(returned.elapsed() < RECOVERY, "not back in time");
    }
    let took = returned.elapsed();
    assert!(took < RECOVERY, "{took:?}");
}
