//! Sentinels that put another in the master's place: everybody goes there, and nobody follows a
//! Sentinel that most others do not agree with.

use std::time::{Duration, Instant};

use super::super::server::Server;
use super::super::watched::Watched;
use super::connecting::assert_works;
use super::history::{Ended, during, is_in, try_issue};
use super::{assert_not_cleared, check, logout, ready_service_on, service_on, status_of};
use crate::support::{PATIENCE, Service, lines_with, wait_within};

/// How soon everybody is with the new master, once most of the Sentinels name it.
const FOLLOWED: Duration = Duration::from_secs(2);

/// What a server that is not the master any more must not be asked by us.
const CALLS: [&str; 5] = ["get", "getdel", "exists", "set", "eval"];

fn calls_at(server: &Server) -> u64 {
    let calls = CALLS.map(|command| server.calls_of(command));
    calls.iter().sum()
}

/// Two services that have had a session confirmed as they are to ask: a replica that the Sentinels
/// have just set right is away for a moment.
fn two_services(watched: &Watched, args: &[&str]) -> [Service; 2] {
    [(); 2].map(|()| {
        let service = ready_service_on(&watched.url(), args);
        wait_within(PATIENCE, "a session is confirmed", || {
            try_issue(&service, "premise").is_some()
        });
        service
    })
}

/// Waits for what the services are allowed to take, no longer.
fn sleep_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}

fn assert_none_came_back<'a>(ended: impl Iterator<Item = &'a Ended>, service: &Service) {
    let ended: Vec<&Ended> = ended.collect();
    assert!(!ended.is_empty(), "nothing was acknowledged");
    assert!(!ended.iter().any(|one| one.is_acknowledged_twice()));
    let live = ended.iter().filter(|one| one.is_live_at(service)).count();
    assert_eq!(live, 0, "of {} acknowledged logouts", ended.len());
}

/// The first server goes on answering as the master that it holds itself to be.
fn both_leave_a_master_that(is_deposed: impl FnOnce(&Watched)) {
    let watched = Watched::start(2, 3);
    let services = two_services(&watched, &[]);
    let old = &watched.servers[0];
    let ((successor, followed), ended) = during(&services, || {
        is_deposed(&watched);
        let successor = watched.successor();
        let followed = Instant::now() + FOLLOWED;
        sleep_until(followed);
        let asked = calls_at(old);
        sleep_until(followed + FOLLOWED);
        assert!(old.says("replication", "role:master"), "it stepped down");
        assert_eq!(calls_at(old), asked, "it is still asked");
        (successor, followed)
    });
    for service in &services {
        let (id, token) = service.issue("42");
        assert!(is_in(&id, successor) && !is_in(&id, old));
        for other in &services {
            assert_eq!(check(other, &token).status, 204);
        }
        // Those from before are judged by replication.
        let since = ended.iter().filter(|one| one.is_since(followed));
        assert_none_came_back(since, service);
    }
}

#[test]
fn after_a_failover_by_command_nobody_stays_with_the_old_master_that_goes_on_answering() {
    both_leave_a_master_that(|watched| {
        watched.command_failover();
        // By itself it would hear of the change some ten seconds later.
        watched.successor();
        watched.hide_master();
    });
}

#[test]
fn nobody_stays_with_a_master_that_only_the_sentinels_cannot_reach() {
    both_leave_a_master_that(Watched::hide_master);
}

#[test]
fn nobody_returns_to_a_master_that_was_paused_and_goes_on_as_if_nothing_had_happened() {
    both_leave_a_master_that(|watched| {
        watched.servers[0].freeze();
        watched.successor();
        watched.servers[0].thaw();
        watched.hide_master();
    });
}

#[test]
fn with_the_word_of_every_replica_no_logout_comes_back_from_a_failover_by_command() {
    let watched = Watched::start(2, 3);
    let services = two_services(&watched, &["--redis-wait-replicas", "2"]);
    let (successor, ended) = during(&services, || {
        // There is something to lose before, too.
        sleep_until(Instant::now() + Duration::from_millis(500));
        watched.command_failover();
        let successor = watched.successor();
        sleep_until(Instant::now() + FOLLOWED);
        successor
    });
    assert_none_came_back(ended.iter(), &services[0]);
    assert!(!ended.iter().any(|one| one.is_in(successor)));
}

#[test]
fn a_killed_master_has_a_successor_that_knows_what_every_replica_had_confirmed() {
    let mut watched = Watched::start(2, 3);
    let careful = two_services(&watched, &["--redis-wait-replicas", "2"]);
    let quick = two_services(&watched, &[]);
    let live = careful[0].token_of("live");
    let ((), ended) = during(&careful, || {
        sleep_until(Instant::now() + Duration::from_millis(500));
        watched.servers[0].kill();
        watched.successor();
        sleep_until(Instant::now() + FOLLOWED);
    });
    for service in &quick {
        assert_none_came_back(ended.iter(), service);
        let (_, token) = service.issue("42");
        assert_eq!(logout(service, &token).body, "true");
        assert_eq!(check(service, &token).status, 401);
    }
    // Of two replicas one is left, which is not enough to change anything for certain.
    assert_not_cleared(&logout(&careful[0], &live));
    assert_eq!(check(&quick[0], &live).status, 401);
}

#[test]
fn a_sentinel_that_has_not_heard_of_the_change_is_not_believed_against_the_others() {
    let watched = Watched::start(2, 3);
    watched.isolate(0);
    watched.hide_master();
    let successor = watched.successor();
    assert_eq!(watched.named_by(0), Some(0), "it has heard");
    let old = &watched.servers[0];
    let asked = calls_at(old);
    for order in [[0, 1, 2], [1, 0, 2]] {
        let service = ready_service_on(&watched.url_by(&order), &[]);
        let (id, token) = service.issue("42");
        assert!(is_in(&id, successor));
        assert_eq!(logout(&service, &token).body, "true");
        assert!(!is_in(&id, successor));
    }
    // Each of the others suffices where it is the only one that is known.
    assert_works(&ready_service_on(&watched.url_by(&[1]), &[]));
    assert_eq!(calls_at(old), asked);
}

#[test]
fn without_a_majority_of_sentinels_nobody_starts_and_nobody_who_is_connected_stops() {
    let mut watched = Watched::start(1, 3);
    let mut standing = ready_service_on(&watched.url(), &[]);
    let live = standing.token_of("live");
    watched.sentinels[1].kill();
    watched.sentinels[2].kill();
    watched.until_without_quorum(0);

    let fresh = service_on(&watched.url(), &[]);
    let with_one = service_on(&watched.url_by(&[0]), &[]);
    let until = Instant::now() + 2 * FOLLOWED;
    while Instant::now() < until {
        assert_eq!(status_of(&fresh, "/readyz"), 503);
        assert_eq!(status_of(&with_one, "/readyz"), 503);
        assert_eq!(check(&fresh, &live).status, 503);
        assert_not_cleared(&logout(&fresh, &live));
        assert_eq!(status_of(&standing, "/readyz"), 200);
        assert_eq!(check(&standing, &live).status, 204);
        let token = standing.token_of("42");
        assert_eq!(logout(&standing, &token).body, "true");
        assert_eq!(check(&standing, &token).status, 401);
    }
    let mut warned = lines_with(standing.logged(), &["\"WARN\""]);
    // Which is said of the server, whoever watches it.
    warned.retain(|line| !line.contains("an acknowledged logout can come back"));
    assert_eq!(warned.len(), 1, "{warned:#?}");

    watched.sentinels[1].start_again();
    wait_within(FOLLOWED, "ready", || status_of(&fresh, "/readyz") == 200);
    assert_eq!(logout(&fresh, &live).body, "true");
}
