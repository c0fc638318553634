//! A web app that seals its session with the real h3, run by Node.

use std::net::SocketAddr;
use std::process::Command;

use super::{Process, npm_packages, tool};

/// A running app; ended with the test.
pub struct WebApp {
    pub address: SocketAddr,
    _process: Process,
}

impl WebApp {
    pub fn start(password: &str) -> Self {
        let mut node = Command::new(tool("node"));
        node.args(["--input-type=module", "-e", include_str!("web_app.mjs")])
            .env("NUXT_SESSION_PASSWORD", password)
            .current_dir(npm_packages());
        let mut process = Process::start(node);
        let line = process.wait_for_line("listening on port ");
        let port = line.rsplit_once(' ').unwrap().1.parse().unwrap();
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            _process: process,
        }
    }
}
