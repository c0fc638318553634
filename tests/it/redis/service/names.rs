//! Names with several addresses.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::super::RECOVERY;
use super::super::server::{Brand, Server};
use super::super::watched::Watched;
use super::connecting::assert_works;
use super::history::is_in;
use super::status_of;
use crate::support::Scratch;
use crate::support::ports::free_port;
use crate::support::relay::Relay;
use crate::support::service::binary;
use crate::support::{ADMIN_TOKEN, Service, wait_within};

/// A service that knows these names, and nobody else does.
fn service_that_knows(names: &str, url: &str) -> Service {
    // Once it is mounted, nobody needs it under its name.
    let scratch = Scratch::new("names");
    let hosts = scratch.write("hosts", names);
    let mut command = Command::new("unshare");
    let shown = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    command.args(["--mount", "/bin/sh", "-c", shown]);
    command.arg(&hosts).arg(binary().get_program());
    command.args(["--admin-token", ADMIN_TOKEN, "--store", url]);
    Service::spawn(command)
}

/// An address that takes no connection and refuses none: the first to come wait for ever, and the
/// next are not heard.
fn swallowing(address: SocketAddr) -> Vec<Socket> {
    let address = address.into();
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&address).unwrap();
    listener.listen(0).unwrap();
    let mut sockets = vec![listener];
    loop {
        let waiting = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let answered = waiting.connect_timeout(&address, Duration::from_millis(300));
        if answered.is_err() {
            return sockets;
        }
        sockets.push(waiting);
    }
}

#[test]
fn a_name_of_which_one_address_swallows_everything_leads_to_the_other() {
    let server = Server::start(Brand::Redis, &[]);
    // Two that the system's order of addresses holds to be equal.
    let port = free_port();
    let _swallowing = swallowing(([127, 0, 0, 2], port).into());
    let _answering = Relay::at(([127, 0, 0, 3], port).into(), server.address());
    for names in [
        "127.0.0.2 redis.test\n127.0.0.3 redis.test\n",
        "127.0.0.3 redis.test\n127.0.0.2 redis.test\n",
    ] {
        let begun = Instant::now();
        let service = service_that_knows(names, &format!("redis://redis.test:{port}"));
        service.until_ready();
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_works(&service);
        server.ask("CLIENT KILL TYPE normal").unwrap();
        wait_within(RECOVERY, "connected again", || {
            status_of(&service, "/readyz") == 200
        });
    }
}

#[test]
fn each_address_of_the_sentinels_name_counts_as_a_sentinel() {
    let watched = Watched::start(1, 3);
    let port = free_port();
    // The first has not heard of the change.
    watched.isolate(0);
    watched.hide_master();
    let successor = watched.successor();
    let relay = |(sentinel, last): (&Server, u8)| {
        Relay::at(([127, 0, 0, last], port).into(), sentinel.address())
    };
    let _relays: Vec<Relay> = watched.sentinels.iter().zip(2..).map(relay).collect();
    let names = "127.0.0.2 sentinels.test\n127.0.0.3 sentinels.test\n127.0.0.4 sentinels.test\n";
    let first = watched.sentinels[0].address().to_string();
    let url = watched
        .url_by(&[0])
        .replace(&first, &format!("sentinels.test:{port}"));
    let service = service_that_knows(names, &url);
    service.until_ready();
    let (id, _) = service.issue("42");
    assert!(is_in(&id, successor));
}
