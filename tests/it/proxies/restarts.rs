//! Two replicas of the service behind each proxy, one of which restarts at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::echo::EchoApp;
use crate::support::ports::free_address;
use crate::support::proxy::{FOR_VISITORS, Kind, Proxy, configurations};
use crate::support::service::binary;
use crate::support::{Ask, Connection, Service, unknown_token};

/// Requests by several clients at once, for as long as two replicas are restarted in turn: none
/// fails.
fn lose_no_request(kind: Kind, file: &str, restarts: usize) {
    const CLIENTS: usize = 8;
    let addresses = [(); 2].map(|()| (free_address(), free_address()));
    let start = |(public, admin)| Some(Service::spawn_at(binary(), public, admin));
    let mut replicas = addresses.map(start);
    let app = EchoApp::start();
    let proxy = Proxy::between(kind, file, addresses.map(|(public, _)| public), app.address);
    let front = proxy.address;

    let is_over = AtomicBool::new(false);
    let count: usize = std::thread::scope(|scope| {
        let is_over = &is_over;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                // A POST, which no proxy may try a second time once it was sent; and a check.
                let token = unknown_token(1);
                let ask = match client % 2 {
                    0 => Ask::logout(&token),
                    _ => Ask::get("/").session(&token),
                };
                let takes_visitors = FOR_VISITORS.contains(&(kind, file));
                let expected = if client % 2 == 0 || takes_visitors {
                    200
                } else {
                    401
                };
                scope.spawn(move || {
                    let mut connection = Connection::open(front);
                    let mut count = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        let answer = connection.ask(&ask);
                        assert_eq!(answer.status, expected, "{answer:?}");
                        count += 1;
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    count
                })
            })
            .collect();
        for round in 0..restarts {
            let replica = round % 2;
            let (status, log) = replicas[replica].take().unwrap().stop();
            assert_eq!(status.code(), Some(0), "{log:#?}");
            replicas[replica] = start(addresses[replica]);
            // Both serve for a while.
            std::thread::sleep(Duration::from_millis(200));
        }
        is_over.store(true, Ordering::Relaxed);
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum()
    });
    println!("{count} requests behind {file}");
    assert!(count > 200, "{count}");
}

#[test]
fn rolling_restarts_of_two_replicas_lose_no_request() {
    for (kind, file) in configurations() {
        lose_no_request(kind, file, 4);
    }
}
