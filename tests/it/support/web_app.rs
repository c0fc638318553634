//! A web app that seals its session with the real h3, run by Node.

use std::net::SocketAddr;

use super::{Process, node};

/// A running app; ended with the test.
pub struct WebApp {
    pub address: SocketAddr,
    _process: Process,
}

impl WebApp {
    pub fn start(password: &str) -> Self {
        let mut app = node(include_str!("web_app.mjs"));
        app.env("NUXT_SESSION_PASSWORD", password);
        let mut process = Process::start(app);
        let line = process.wait_for_line("listening on port ");
        let port = line.rsplit_once(' ').unwrap().1.parse().unwrap();
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            _process: process,
        }
    }
}
