//! Two replicas of the service on one server: what one ended is over on the other.

use super::super::server::{Brand, Server};
use super::{ready_service_on, revoke_all};
use crate::sealed::{PASSWORD, sealed};
use crate::support::{Service, at_once};

/// Fields drop in this order: the services go before their server.
struct Both {
    services: [Service; 2],
    _server: Server,
}

impl Both {
    fn start(args: &[&str]) -> Self {
        let server = Server::start(Brand::Redis, &[]);
        let services = [(); 2].map(|()| ready_service_on(&server.url(), args));
        Self {
            services,
            _server: server,
        }
    }

    /// Sixteen at once log out over both; how many were told that it was they.
    fn race(&self, token: &str) -> usize {
        let answers = at_once(16, |racer| self.services[racer % 2].logout(token));
        assert!(answers.iter().all(|answer| answer.status == 200));
        answers
            .iter()
            .filter(|answer| answer.body == "true")
            .count()
    }
}

fn revoked(answer: &crate::support::Answer) -> u64 {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["revoked"].as_u64().unwrap()
}

#[test]
fn of_300_logouts_on_one_replica_none_is_seen_live_on_the_other_after_the_answer() {
    let both = Both::start(&[]);
    let [one, other] = &both.services;
    std::thread::scope(|scope| {
        for client in 0..6 {
            scope.spawn(move || {
                for _ in 0..50 {
                    let token = other.token_of(&format!("user-{client}"));
                    assert!(one.is_live(&token));
                    assert_eq!(one.logout(&token).body, "true");
                    assert!(!other.is_live(&token));
                    assert_eq!(other.logout(&token).body, "false");
                }
            });
        }
    });
}

#[test]
fn of_sixteen_who_log_out_over_both_replicas_exactly_one_is_told_true() {
    let both = Both::start(&["--sealed-password", PASSWORD]);
    for round in 0..20 {
        assert_eq!(both.race(&both.services[round % 2].token_of("42")), 1);
        assert_eq!(both.race(&sealed(&format!("seal-{round}"), "42")), 1);
    }
}

#[test]
fn a_seal_revoked_on_one_replica_is_over_on_the_other() {
    let both = Both::start(&["--sealed-password", PASSWORD]);
    let [one, other] = &both.services;
    for round in 0..50 {
        let seal = sealed(&format!("seal-{round}"), "42");
        assert!(other.is_live(&seal));
        assert_eq!(one.logout(&seal).body, "true");
        assert!(!other.is_live(&seal));
        assert_eq!(other.logout(&seal).body, "false");
    }
    let (seal, foreign) = (sealed("of-42", "42"), sealed("of-43", "43"));
    assert_eq!(revoked(&revoke_all(one, "42")), 0);
    assert!(!other.is_live(&seal) && other.is_live(&foreign));
}

#[test]
fn logging_a_user_out_everywhere_ends_what_both_replicas_issued() {
    let both = Both::start(&[]);
    let [one, other] = &both.services;
    let bystander = one.token_of("bystander");
    for _ in 0..10 {
        let tokens: Vec<String> = (0..10)
            .map(|number| both.services[number % 2].token_of("42"))
            .collect();
        // Both at once share the work out between them.
        let sum = std::thread::scope(|scope| {
            let revoking = both
                .services
                .each_ref()
                .map(|service| scope.spawn(|| revoked(&revoke_all(service, "42"))));
            revoking
                .map(|thread| thread.join().unwrap())
                .into_iter()
                .sum::<u64>()
        });
        assert_eq!(sum, 10);
        for token in tokens {
            assert!(!one.is_live(&token) && !other.is_live(&token));
        }
    }
    assert!(other.is_live(&bystander));
}

#[test]
fn a_login_that_races_with_logging_out_everywhere_is_counted_or_survives_whole() {
    let both = Both::start(&[]);
    let [one, other] = &both.services;
    let (mut ended, mut tokens) = (0, Vec::new());
    std::thread::scope(|scope| {
        let logins: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..50).map(|_| other.token_of("42")).collect::<Vec<_>>()))
            .collect();
        while !logins
            .iter()
            .all(std::thread::ScopedJoinHandle::is_finished)
        {
            ended += revoked(&revoke_all(one, "42"));
        }
        for login in logins {
            tokens.extend(login.join().unwrap());
        }
    });
    let live = tokens.iter().filter(|token| one.is_live(token)).count();
    assert_eq!(usize::try_from(ended).unwrap() + live, tokens.len());
    // Those that live are in the index: the next round reaches them all.
    assert_eq!(
        usize::try_from(revoked(&revoke_all(other, "42"))).unwrap(),
        live
    );
    assert!(tokens.iter().all(|token| !one.is_live(token)));
}
