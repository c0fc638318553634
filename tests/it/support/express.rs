//! The login backend of `tests/backends` that Node runs.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::{fs, os};

use super::ports::free_address;
use super::{ADMIN_TOKEN, Api, Process, Scratch, npm_packages, tool};

/// A running backend; ended with the test.
pub struct Express {
    pub address: SocketAddr,
    _process: Process,
    _home: Scratch,
}

impl Express {
    /// Whose open sockets ask the service once in this time.
    pub fn start(service: &Api, ask_every: Duration) -> Self {
        let (address, home) = (free_address(), Scratch::new("express"));
        let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/backends");
        for file in ["express.mjs", "open-socket.mjs"] {
            fs::copy(original.join(file), home.join(file)).unwrap();
        }
        let packages = npm_packages().join("node_modules");
        os::unix::fs::symlink(packages, home.join("node_modules")).unwrap();
        let mut node = Command::new(tool("node"));
        node.arg("express.mjs").current_dir(&*home);
        node.env("AUTH", format!("http://{}", service.public));
        node.env("AUTH_ADMIN", format!("http://{}", service.admin));
        node.env("NEPTUN_AUTH_ADMIN_TOKEN", ADMIN_TOKEN);
        node.env("ASK_EVERY", ask_every.as_millis().to_string());
        node.env("PORT", address.port().to_string());
        let mut process = Process::start(node);
        process.wait_until_up(|| TcpStream::connect(address).is_ok());
        Self {
            address,
            _process: process,
            _home: home,
        }
    }
}
