//! The proxies that `tests/proxies` has files for, run for real with these very files.

mod cache;
mod claims;
mod connections;
mod doors;
mod login_page;
mod restarts;
mod upgrades;

use std::net::SocketAddr;

use crate::support::Ask;
use crate::support::echo::EchoApp;
use crate::support::proxy::{FOR_MEMBERS, Kind, Proxy};

/// An app behind each of those for members, one after the other.
fn behind_each(service: SocketAddr, test: impl Fn(&Proxy, &EchoApp)) {
    behind(FOR_MEMBERS, service, test);
}

/// The same with these files.
fn behind(
    files: impl IntoIterator<Item = (Kind, &'static str)>,
    service: SocketAddr,
    test: impl Fn(&Proxy, &EchoApp),
) {
    for (kind, file) in files {
        let app = EchoApp::start();
        let proxy = Proxy::start(kind, file, service, app.address);
        println!("behind {kind:?} with {file}");
        test(&proxy, &app);
    }
}

/// What a client may claim about itself, also as CGI-like apps and PHP would read it.
const CLAIMS: [&str; 14] = [
    "Remote-User",
    "remote-user",
    "REMOTE-USER",
    "Remote_User",
    "REMOTE_USER",
    "Remote.User",
    "Remote-Session",
    "remote_session",
    "Remote_Session",
    "remote-session",
    "Remote-Auth-Time",
    "Remote_Auth_Time",
    "remote-auth_time",
    "REMOTE-AUTH-TIME",
];

/// The request with all of these claims, and none of them true.
fn forging(mut ask: Ask) -> Ask {
    for name in CLAIMS {
        ask = ask.header(name, "forged");
    }
    ask
}
