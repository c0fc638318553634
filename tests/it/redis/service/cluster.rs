//! The service on a cluster whose nodes do not all know the same.

use std::time::{Duration, Instant};

use super::super::cluster::{Cluster, FOUND, id};
use super::super::server::Server;
use super::{assert_not_cleared, assert_unavailable, check, logout, ready_service_on, status_of};
use crate::support::{Service, wait_within};

/// A shard that is lost takes only its own sessions along.
const PARTIAL: [&str; 2] = ["--cluster-require-full-coverage", "no"];

/// Sessions, some at each master: the master's number and the token.
fn sessions_in(cluster: &Cluster, service: &Service) -> Vec<(usize, String)> {
    let mut sessions = Vec::new();
    for number in 0..30 {
        let (id, token) = service.issue(&format!("user-{number}"));
        sessions.push((cluster.home_of(id).0, token));
    }
    sessions
}

fn assert_live(service: &Service, sessions: &[(usize, String)]) {
    for (_, token) in sessions {
        assert_eq!(check(service, token).status, 204);
    }
}

fn a_shard_that_moved_is_found_by_all(strike: impl FnOnce(&Cluster), after: impl FnOnce(&Cluster)) {
    let cluster = Cluster::with_relays();
    let services: Vec<Service> = (0..6)
        .map(|first| ready_service_on(&cluster.url_from(first), &[]))
        .collect();
    let sessions = sessions_in(&cluster, &services[0]);
    let size = |node: &Server| node.ask("DBSIZE").unwrap();
    let (master, replica) = (&cluster.masters[0], &cluster.replicas[0]);
    wait_within(FOUND, "the replica has them all", || {
        size(master) == size(replica)
    });

    assert!(master.says("replication", "role:master"));
    strike(&cluster);
    cluster.until_replaced(0);
    let moved = Instant::now();
    std::thread::scope(|scope| {
        for service in &services {
            scope.spawn(|| {
                for (_, token) in &sessions {
                    while check(service, token).status != 204 {
                        assert!(moved.elapsed() < FOUND, "not found in time");
                    }
                }
            });
        }
    });
    after(&cluster);
    // Once found it is not lost again, and those who start now find it too.
    let fresh: Vec<Service> = (0..2)
        .map(|first| ready_service_on(&cluster.url_from(first), &[]))
        .collect();
    while moved.elapsed() < FOUND + Duration::from_secs(2) {
        for service in services.iter().chain(&fresh) {
            assert_live(service, &sessions);
        }
    }
    let (_, token) = sessions.iter().find(|(home, _)| *home == 0).unwrap();
    assert_eq!(logout(&services[0], token).body, "true");
    for service in services.iter().chain(&fresh) {
        assert_eq!(check(service, token).status, 401);
    }
}

#[test]
fn everybody_leaves_a_master_that_is_cut_off_from_the_other_nodes_and_still_answers() {
    a_shard_that_moved_is_found_by_all(|cluster| cluster.isolate(0), |_| {});
}

#[test]
fn everybody_leaves_a_master_that_pauses_and_nobody_returns_when_it_does() {
    let pause = |cluster: &Cluster| cluster.masters[0].freeze();
    a_shard_that_moved_is_found_by_all(pause, |cluster| cluster.masters[0].thaw());
}

#[test]
fn the_map_of_a_node_that_has_forgotten_another_is_not_followed() {
    let cluster = Cluster::of_masters_with(&PARTIAL);
    let mut services = vec![ready_service_on(&cluster.url_from(0), &[])];
    let sessions = sessions_in(&cluster, &services[0]);
    let command = format!("CLUSTER FORGET {}", id(&cluster.masters[1]));
    cluster.masters[0].done(&command);
    let forgot = Instant::now();
    services.extend((0..6).map(|at| ready_service_on(&cluster.url_from(at % 3), &[])));
    // Longer than a map is kept.
    while forgot.elapsed() < FOUND + Duration::from_secs(1) {
        for service in &services {
            assert_live(service, &sessions);
        }
    }
    // It would have been told after a minute.
    let known = cluster.masters[0].ask("CLUSTER NODES").unwrap();
    assert!(!known.contains(&id(&cluster.masters[1])), "it remembers");
}

fn until_shards_are(service: &Service, serving: u64, lost: u64) {
    let shards = |state: &str| {
        let series = format!("neptun_auth_redis_shards{{state=\"{state}\"}}");
        service.metric(&series)
    };
    wait_within(FOUND, "the metrics tell", || {
        [shards("serving"), shards("lost")] == [Some(serving), Some(lost)]
    });
}

#[test]
fn with_one_shard_lost_everybody_is_ready_for_the_others_and_a_metric_tells() {
    let mut cluster = Cluster::of_masters_with(&PARTIAL);
    let standing = ready_service_on(&cluster.url_from(0), &[]);
    let sessions = sessions_in(&cluster, &standing);
    until_shards_are(&standing, 3, 0);
    cluster.masters[1].kill();
    let lost = Instant::now();
    while lost.elapsed() < Duration::from_secs(3) {
        assert_eq!(status_of(&standing, "/readyz"), 200);
    }
    let fresh = ready_service_on(&cluster.url_from(0), &[]);
    for service in [&standing, &fresh] {
        until_shards_are(service, 2, 1);
        for (home, token) in &sessions {
            if *home == 1 {
                assert_unavailable(&check(service, token));
                assert_not_cleared(&logout(service, token));
            } else {
                assert_eq!(check(service, token).status, 204);
            }
        }
        assert_eq!(status_of(service, "/readyz"), 200);
    }
    for lost in [0, 2] {
        cluster.masters[lost].kill();
    }
    wait_within(FOUND, "nothing serves, nobody is ready", || {
        status_of(&standing, "/readyz") == 503
    });
}

#[test]
fn a_redirection_without_a_host_leads_to_another_port_of_the_node_that_answered() {
    let kind = ["--cluster-preferred-endpoint-type", "unknown-endpoint"];
    let cluster = Cluster::of_masters_with(&kind);
    let service = ready_service_on(&cluster.url_from(0), &[]);
    let (session, token) = service.issue("42");
    let (home, slot) = cluster.home_of(&session);
    let from = &cluster.masters[home];
    let to = cluster.begin_to_move(&session);
    let asking = from.ask(&format!("GET neptun-auth:s:{session}")).unwrap();
    assert!(asking.starts_with(&format!("-ASK {slot} :")), "{asking}");
    assert_eq!(check(&service, &token).status, 204);
    cluster.end_move(&slot, to);
    assert_eq!(check(&service, &token).status, 204);
    assert_eq!(logout(&service, &token).body, "true");
}
