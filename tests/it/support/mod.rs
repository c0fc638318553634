//! What the tests share: the service as a process, and HTTP down to the byte.

pub mod browser;
pub mod echo;
pub mod envelope;
pub mod faulty;
mod node;
pub mod pages;
pub mod proxy;
pub mod python;
pub mod relay;
pub mod server;
pub mod service;
mod tools;
pub mod web_app;
pub mod wire;

pub use envelope::assert_envelope;
pub use node::npm_packages;
pub use python::python;
pub use service::{ADMIN_TOKEN, Service};
pub use tools::tool;
pub use wire::{Answer, Ask, Connection};
