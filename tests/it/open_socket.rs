//! The recipe for what is already open: a `WebSocket` behind nginx ends with its session, and with
//! nothing else.

use std::time::{Duration, Instant};

use crate::support::Ask;
use crate::support::express::Express;
use crate::support::faulty::{Fault, FaultyService};
use crate::support::proxy::{Kind, Proxy};
use crate::support::web_socket::WebSocket;

const EVERY: Duration = Duration::from_millis(500);

#[test]
fn a_socket_closes_within_its_interval_after_logout_and_stays_while_nobody_can_tell() {
    let service = FaultyService::start();
    let app = Express::start(&service, EVERY);
    let proxy = Proxy::start(Kind::Nginx, "nginx.conf", service.public, app.address);
    let (token, other) = (service.token_of("42"), service.token_of("43"));
    let open = |token: &str| {
        let handshake = Ask::upgrade("/live", "websocket").session(token);
        WebSocket::open(proxy.address, &handshake)
    };
    let (mut ending, mut staying) = (open(&token), open(&other));

    // It asks, and is not told: several times.
    service.fail(Fault::Refuses);
    let begun = Instant::now();
    while begun.elapsed() < 3 * EVERY {
        ending.ping();
        std::thread::sleep(EVERY / 10);
    }
    service.fail(Fault::None);

    let logout = Ask::logout(&token).send(proxy.address);
    assert_eq!((logout.status, &*logout.body), (200, "true"));
    let begun = Instant::now();
    assert_eq!(ending.hear(), None, "it is closed");
    let took = begun.elapsed();
    assert!(
        took < 4 * EVERY,
        "an interval and what a busy machine adds: {took:?}"
    );
    staying.ping();
}
