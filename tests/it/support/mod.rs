//! What the tests share: programs that they start, and HTTP down to the byte.

mod api;
pub mod asgi_app;
pub mod browser;
pub mod crowd;
pub mod echo;
pub mod envelope;
pub mod express;
pub mod faulty;
mod log;
mod node;
pub mod pages;
pub mod ports;
pub mod probe;
mod process;
pub mod proxy;
mod python;
pub mod relay;
mod scratch;
pub mod server;
pub mod service;
pub mod start;
mod threads;
mod tools;
pub mod usage;
mod wait;
pub mod web_app;
pub mod web_socket;
mod wire;

pub use api::{ADMIN_TOKEN, Api};
pub use envelope::assert_envelope;
pub use log::{lines_with, parsed};
pub use node::{node, npm_packages};
pub use process::{Process, rerun, run};
pub use python::python;
pub use scratch::Scratch;
pub use service::Service;
pub use start::Start;
pub use threads::at_once;
pub use tools::{find_tool, tool};
pub use wait::{PATIENCE, wait_until, wait_within};
pub use wire::{Answer, Ask, Connection};

/// What may be the token of a session, and is of none; another for each number.
pub fn unknown_token(number: usize) -> String {
    format!("unknown-{number:034}A")
}
