//! The recipe for what is already open: a `WebSocket` behind nginx ends with its session, and with
//! nothing else.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::faulty::{Fault, FaultyService};
use crate::support::proxy::{Kind, Proxy};
use crate::support::web_socket::WebSocket;
use crate::support::{Ask, Process, npm_packages, tool};

const EVERY: Duration = Duration::from_millis(500);

#[test]
fn a_socket_closes_within_its_interval_after_logout_and_stays_while_nobody_can_tell() {
    let service = FaultyService::start();
    let recipe = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/backends/open-socket.mjs"
    );
    let mut node = Command::new(tool("node"));
    node.args([
        "--input-type=module",
        "-e",
        include_str!("support/socket_app.mjs"),
    ])
    .env("RECIPE", recipe)
    .env("CHECK", format!("http://{}/api/auth/check", service.public))
    .env("EVERY", EVERY.as_millis().to_string())
    .current_dir(npm_packages());
    let mut app = Process::start(node);
    let line = app.wait_for_line("listening on port ");
    let port: u16 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
    let proxy = Proxy::start(
        Kind::Nginx,
        "nginx.conf",
        service.public,
        ([127, 0, 0, 1], port).into(),
    );
    let (token, other) = (service.token_of("42"), service.token_of("43"));
    let open = |token: &str| {
        let handshake = Ask::upgrade("/socket", "websocket").session(token);
        WebSocket::open(proxy.address, &handshake)
    };
    let (mut ending, mut staying) = (open(&token), open(&other));

    // It asks, and is not told: several times.
    service.fail(Fault::Refuses);
    let begun = Instant::now();
    while begun.elapsed() < 3 * EVERY {
        ending.say("still here?");
        assert_eq!(ending.hear().unwrap(), "still here?");
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
    staying.say("still here?");
    assert_eq!(staying.hear().unwrap(), "still here?");
}
