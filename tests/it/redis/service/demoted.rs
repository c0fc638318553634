//! One server behind a name, which leads to another from one moment on: what still answers at the
//! old place is not asked any more.

use std::time::{Duration, Instant};

use super::super::replicas::pair;
use super::super::server::{Brand, Server};
use super::history::is_in;
use super::{check, logout, ready_service_on};
use crate::support::relay::Relay;
use crate::support::{Service, wait_within};

/// How soon everybody has seen that a server is not the master any more.
const NOTICED: Duration = Duration::from_secs(2);

struct Scene {
    old: Server,
    new: Server,
    services: [Service; 2],
    tokens: Vec<String>,
    name: Relay,
}

impl Scene {
    /// Sessions that both servers have.
    fn set() -> Self {
        let (old, new) = pair(Brand::Redis);
        let name = Relay::to(old.address());
        let url = format!("redis://{}", name.address);
        let services = [(); 2].map(|()| ready_service_on(&url, &[]));
        let issue = |number| services[0].issue(&format!("user-{number}"));
        let (ids, tokens): (Vec<_>, _) = (0..40).map(issue).unzip();
        wait_within(NOTICED, "the replica has them all", || {
            is_in(&ids[39], &new)
        });
        Self {
            old,
            new,
            services,
            tokens,
            name,
        }
    }

    /// Who has a connection keeps it, and finds a replica at its end.
    fn put_new_in_the_place_of_old(&self, master_of_old: u16) {
        self.new.done("REPLICAOF NO ONE");
        self.name.lead_to(self.new.address());
        self.old
            .done(&format!("REPLICAOF 127.0.0.1 {master_of_old}"));
    }

    fn assert_all_is_over_everywhere(&self) {
        let demoted = Instant::now();
        let [one, other] = &self.services;
        while demoted.elapsed() < NOTICED {
            // Connections are in use, for reading only.
            check(one, &self.tokens[0]);
            check(other, &self.tokens[0]);
        }
        let read = self.old.calls_of("get");
        for token in &self.tokens {
            assert_eq!(check(other, token).status, 204);
            assert_eq!(logout(one, token).body, "true");
            assert_eq!(check(other, token).status, 401);
            assert_eq!(logout(other, token).body, "false");
        }
        assert_eq!(self.old.calls_of("get"), read, "it is still read from");
        let fresh = other.token_of("42");
        assert_eq!(check(one, &fresh).status, 204);
    }
}

#[test]
fn a_server_that_follows_its_successor_is_left_by_readers_too() {
    let scene = Scene::set();
    scene.put_new_in_the_place_of_old(scene.new.port());
    scene.assert_all_is_over_everywhere();
}

#[test]
fn a_server_that_was_demoted_and_hears_nothing_of_its_successor_passes_no_ended_session() {
    let scene = Scene::set();
    // Nobody is there.
    scene.put_new_in_the_place_of_old(1);
    scene.assert_all_is_over_everywhere();
}
