//! Behind nginx, as it is deployed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::ports::free_address;
use crate::support::proxy::{Kind, Proxy};
use crate::support::service::binary;
use crate::support::{Ask, Connection, Scratch, Service, unknown_token};

/// An nginx that spreads what comes to it over `replicas`, with kept connections.
fn nginx([one, other]: [SocketAddr; 2]) -> Proxy {
    let (address, home) = (free_address(), Scratch::new("proxied"));
    // With `max_fails=0` a replica that is restarting is not avoided for the ten seconds after,
    // in which the other one restarts.
    let configuration = format!(
        "events {{}}
        http {{
            keepalive_requests 1000000;
            upstream neptun_auth {{
                server {one} max_fails=0; server {other} max_fails=0;
                keepalive 32;
            }}
            server {{
                listen {address};
                location / {{
                    proxy_pass http://neptun_auth;
                    proxy_http_version 1.1;
                    proxy_set_header Connection \"\";
                    proxy_set_header Host $host;
                }}
            }}
        }}"
    );
    home.write("nginx.conf", configuration);
    Proxy::run(Kind::Nginx, address, home, "nginx.conf")
}

#[test]
fn six_rolling_restarts_of_two_replicas_lose_no_request() {
    const CLIENTS: usize = 8;
    let addresses = [(); 2].map(|()| (free_address(), free_address()));
    let start = |(public, admin)| Some(Service::spawn_at(binary(), public, admin));
    let mut replicas = addresses.map(start);
    let nginx = nginx(addresses.map(|(public, _)| public));
    let front = nginx.address;

    let is_over = AtomicBool::new(false);
    let count: usize = std::thread::scope(|scope| {
        let is_over = &is_over;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                // A POST, which nginx does not try a second time once it was sent.
                let ask = Ask::logout(&unknown_token(1));
                scope.spawn(move || {
                    let mut connection = Connection::open(front);
                    let mut count = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        let answer = connection.ask(&ask);
                        assert_eq!((answer.status, &*answer.body), (200, "false"), "{answer:?}");
                        count += 1;
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    count
                })
            })
            .collect();
        for round in 0..6 {
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
    println!("{count} requests");
    assert!(count > 500, "{count}");
}
