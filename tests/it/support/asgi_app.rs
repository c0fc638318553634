//! An app on a server that takes every upgrade, run by Hypercorn.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use super::ports::free_address;
use super::{Process, python};

/// A running app; ended with the test.
pub struct AsgiApp {
    pub address: SocketAddr,
    _process: Process,
}

impl AsgiApp {
    pub fn start() -> Self {
        let address = free_address();
        let mut hypercorn = Command::new(python().with_file_name("hypercorn"));
        hypercorn.args(["asgi_app:app", "--bind", &address.to_string()]);
        // In the process itself: its workers would outlive it.
        hypercorn.args(["--workers", "0"]);
        hypercorn.env("PYTHONDONTWRITEBYTECODE", "1");
        hypercorn.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support"));
        let mut process = Process::start(hypercorn);
        process.wait_until_up(|| TcpStream::connect(address).is_ok());
        Self {
            address,
            _process: process,
        }
    }
}
