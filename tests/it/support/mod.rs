//! What the tests share: the service as a process, and HTTP down to the byte.

pub mod echo;
pub mod envelope;
pub mod faulty;
pub mod proxy;
pub mod relay;
pub mod service;
mod tools;
pub mod wire;

pub use envelope::assert_envelope;
pub use service::{ADMIN_TOKEN, Service};
pub use tools::tool;
pub use wire::{Answer, Ask, Connection};
