//! What the tests share: the service as a process, and HTTP down to the byte.

pub mod browser;
pub mod crowd;
pub mod echo;
pub mod envelope;
pub mod faulty;
mod node;
pub mod pages;
pub mod ports;
pub mod probe;
pub mod process;
pub mod proxy;
pub mod python;
pub mod relay;
pub mod server;
pub mod service;
pub mod start;
mod tools;
pub mod web_app;
pub mod wire;

pub use envelope::assert_envelope;
pub use node::npm_packages;
pub use python::python;
pub use service::{ADMIN_TOKEN, Service};
pub use start::Start;
pub use tools::tool;
pub use wire::{Answer, Ask, Connection};

use std::time::{Duration, Instant};

/// What may be the token of a session, and is of none; another for each number.
pub fn unknown_token(number: usize) -> String {
    format!("unknown-{number:034}A")
}

/// Longer than anything here should take; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Looks again and again until `condition` holds; panics if that takes too long.
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    let took = time_until(PATIENCE, condition);
    assert!(took.is_some(), "waited in vain until {what}");
}

/// How long it took until `condition` held, looking again and again for `patience` at most.
pub fn time_until(patience: Duration, mut condition: impl FnMut() -> bool) -> Option<Duration> {
    let begun = Instant::now();
    while begun.elapsed() < patience {
        if condition() {
            return Some(begun.elapsed());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}
