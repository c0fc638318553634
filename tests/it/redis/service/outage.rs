//! Servers that stop, die or lose their replica: who is told what, how soon, and when it is over.

use std::time::Instant;

use super::super::replicas::pair;
use super::super::server::{Brand, Server};
use super::super::{RECOVERY, SLACK, TIMEOUT};
use super::{
    assert_not_cleared, assert_soon_live, assert_unavailable, check, issue, logout,
    ready_service_on, revoke_all, service_on, status_of,
};
use crate::support::{Ask, Service, assert_envelope, at_once, unknown_token, wait_within};

/// A service that has issued two sessions: one to log out of when the store is away, and one that
/// nobody ends.
struct Scene {
    service: Service,
    doomed: String,
    live: String,
}

impl Scene {
    fn on(url: &str, args: &[&str]) -> Self {
        let service = ready_service_on(url, args);
        Self {
            doomed: service.token_of("doomed"),
            live: service.token_of("live"),
            service,
        }
    }

    /// What everybody is told while the store is away.
    fn assert_away(&self) {
        let service = &self.service;
        assert_not_cleared(&logout(service, &self.doomed));
        assert_unavailable(&check(service, &self.live));
        assert_unavailable(&issue(service));
        let sentence = "Sessions could not be revoked";
        let answer = revoke_all(service, "doomed");
        assert_envelope(&answer, 500, "Internal Server Error", sentence);
        assert_eq!(status_of(service, "/readyz"), 503);
        assert_eq!(status_of(service, "/healthz"), 200);
    }

    /// Fifty at once are told so, none later than one alone.
    fn assert_away_for_fifty(&self) {
        let service = &self.service;
        let begun = Instant::now();
        at_once(50, |caller| match caller % 3 {
            0 => assert_not_cleared(&logout(service, &self.doomed)),
            1 => assert_unavailable(&check(service, &self.live)),
            _ => assert_unavailable(&issue(service)),
        });
        let took = begun.elapsed();
        assert!(took < TIMEOUT + SLACK, "{took:?}");
    }

    /// Soon after the server's return all is well; what a failed logout left open, a retry settles.
    fn assert_back(&self, returned: Instant) {
        let service = &self.service;
        assert_soon_live(service, &self.live, returned);
        assert_eq!(status_of(service, "/readyz"), 200);
        assert_eq!(logout(service, &self.doomed).status, 200);
        assert!(!service.is_live(&self.doomed));
        assert_eq!(issue(service).status, 201);
        assert!(service.is_live(&self.live));
    }
}

#[test]
fn a_server_that_ends_a_session_once_it_thaws_is_still_heard() {
    let server = Server::start(Brand::Redis, &[]);
    let mut scene = Scene::on(&server.url(), &[]);
    server.freeze();
    assert_not_cleared(&logout(&scene.service, &scene.doomed));
    // Long enough for the connection to be given up.
    scene
        .service
        .wait_for_line("lost the connection to the session store");
    server.thaw();
    scene.service.wait_for_line("session ended");
    assert_eq!(scene.service.ended_for("logout"), 1);
    scene.assert_back(Instant::now());
}

#[test]
fn no_logout_is_sent_twice_however_often_the_connections_break() {
    let server = Server::start(Brand::Redis, &[]);
    let service = ready_service_on(&server.url(), &[]);
    let tokens: Vec<String> = (0..400).map(|_| service.token_of("42")).collect();
    std::thread::scope(|scope| {
        let clients: Vec<_> = tokens
            .chunks(100)
            .map(|some| {
                let service = &service;
                scope.spawn(move || {
                    for token in some {
                        assert!(matches!(logout(service, token).status, 200 | 500));
                    }
                })
            })
            .collect();
        while !clients
            .iter()
            .all(std::thread::ScopedJoinHandle::is_finished)
        {
            server.ask("CLIENT KILL TYPE normal").unwrap();
        }
    });
    let sent = server.calls_of("getdel");
    assert!(sent <= 400, "{sent} for 400 logouts");
}

#[test]
fn a_killed_server_is_500_and_503_in_time_until_it_is_back_with_what_was_acknowledged() {
    let mut server = Server::start(Brand::Redis, &["--appendonly", "yes"]);
    let scene = Scene::on(&server.url(), &[]);
    let ended: Vec<String> = (0..100).map(|_| scene.service.token_of("42")).collect();
    for token in &ended {
        assert_eq!(scene.service.logout(token).body, "true");
    }
    server.kill();
    scene.assert_away_for_fifty();
    scene.assert_away();
    server.start_again();
    scene.assert_back(Instant::now());
    assert!(ended.iter().all(|token| !scene.service.is_live(token)));
}

#[test]
fn a_service_whose_server_is_down_starts_lives_is_not_ready_and_then_is() {
    let mut server = Server::start(Brand::Redis, &[]);
    server.kill();
    let service = service_on(&server.url(), &[]);
    assert_eq!(status_of(&service, "/healthz"), 200);
    assert_eq!(status_of(&service, "/readyz"), 503);
    assert_unavailable(&check(&service, &unknown_token(1)));
    assert_not_cleared(&logout(&service, &unknown_token(1)));
    // Without a cookie the store is not asked.
    assert_eq!(Ask::get("/api/auth/check").send(service.public).status, 401);
    server.start_again();
    wait_within(RECOVERY, "ready", || status_of(&service, "/readyz") == 200);
    assert_eq!(issue(&service).status, 201);
}

#[test]
fn with_the_replica_frozen_what_changes_is_500_checks_go_on_and_a_retry_settles_it() {
    let (master, replica) = pair(Brand::Redis);
    let scene = Scene::on(&master.url(), &["--redis-wait-replicas", "1"]);
    let service = &scene.service;
    replica.freeze();
    assert_not_cleared(&logout(service, &scene.doomed));
    let sentence = "The session could not be confirmed";
    assert_envelope(&issue(service), 500, "Internal Server Error", sentence);
    assert_eq!(revoke_all(service, "doomed").status, 500);
    let begun = Instant::now();
    at_once(50, |caller| {
        if caller % 2 == 0 {
            // Ended already, and still not for certain.
            assert_not_cleared(&logout(service, &scene.doomed));
        } else {
            assert_eq!(check(service, &scene.live).status, 204);
        }
    });
    assert!(begun.elapsed() < TIMEOUT + SLACK, "{:?}", begun.elapsed());
    assert_eq!(status_of(service, "/healthz"), 200);
    replica.thaw();
    let returned = Instant::now();
    wait_within(RECOVERY, "settled", || {
        logout(service, &scene.doomed).status == 200
    });
    scene.assert_back(returned);
}
