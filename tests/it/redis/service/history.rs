//! Clients that log in and out all the time, and what they were told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::super::server::Server;
use crate::support::{Ask, Service};

/// A session whose end was acknowledged.
pub(super) struct Ended {
    id: String,
    token: String,
    acknowledged: Instant,
    /// Another was told that it was they who ended it.
    twice: bool,
}

impl Ended {
    pub(super) fn is_since(&self, moment: Instant) -> bool {
        self.acknowledged >= moment
    }

    pub(super) const fn is_acknowledged_twice(&self) -> bool {
        self.twice
    }

    /// Whether its record lies in this server.
    pub(super) fn is_in(&self, server: &Server) -> bool {
        is_in(&self.id, server)
    }

    /// Asks until the service knows.
    pub(super) fn is_live_at(&self, service: &Service) -> bool {
        let begun = Instant::now();
        loop {
            match service.check(&self.token).status {
                204 => return true,
                401 => return false,
                _ => assert!(begun.elapsed() < Duration::from_secs(5), "it never knows"),
            }
        }
    }
}

/// Whether the record of a session lies in this server.
pub(super) fn is_in(session: &str, server: &Server) -> bool {
    let exists = server.ask(&format!("EXISTS neptun-auth:s:{session}"));
    exists.unwrap().starts_with(":1")
}

/// A new session: its id and its token; `None` if the service could not issue one.
pub(super) fn try_issue(service: &Service, user: &str) -> Option<(String, String)> {
    let answer = Ask::login(user).send(service.admin);
    let issued = (answer.status == 201).then(|| answer.json())?;
    let text = |name: &str| issued[name].as_str().unwrap().to_owned();
    Some((text("id"), text("token")))
}

/// While something happens, sessions are issued on one of two services and ended on the other, then
/// on the first again: which ends were acknowledged.
pub(super) fn during<R>(services: &[Service; 2], incident: impl FnOnce() -> R) -> (R, Vec<Ended>) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Ends the clients even if the incident fails.
        let ending = Ending(&over);
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let over = &over;
                scope.spawn(move || {
                    let (here, there) = (&services[client % 2], &services[(client + 1) % 2]);
                    let mut ended = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        ended.extend(come_and_go(here, there, client));
                    }
                    ended
                })
            })
            .collect();
        let result = incident();
        drop(ending);
        let ended = clients.into_iter().flat_map(|one| one.join().unwrap());
        (result, ended.collect())
    })
}

struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn come_and_go(here: &Service, there: &Service, client: usize) -> Option<Ended> {
    let Some((id, token)) = try_issue(here, &format!("client-{client}")) else {
        // Failing calls come back at once; the machine has other things to do.
        std::thread::sleep(Duration::from_millis(2));
        return None;
    };
    let logout = |service: &Service| {
        let answer = service.logout(&token);
        assert!(matches!(answer.status, 200 | 500), "{answer:?}");
        answer.status == 200 && answer.body == "true"
    };
    let acknowledged = logout(there).then(Instant::now);
    let again = logout(here).then(Instant::now);
    Some(Ended {
        id,
        token,
        twice: acknowledged.and(again).is_some(),
        acknowledged: acknowledged.or(again)?,
    })
}
