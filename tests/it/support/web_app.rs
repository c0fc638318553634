//! A web app that seals its session with the real h3, run by Node.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use super::{npm_packages, tool};

/// A running app; ended with the test.
pub struct WebApp {
    pub address: SocketAddr,
    child: Child,
}

impl WebApp {
    pub fn start(password: &str) -> Self {
        let mut child = Command::new(tool("node"))
            .args(["--input-type=module", "-e", include_str!("web_app.mjs")])
            .env("NUXT_SESSION_PASSWORD", password)
            .current_dir(npm_packages())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut port).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port.trim().parse().unwrap()));
        Self { address, child }
    }
}

impl Drop for WebApp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
