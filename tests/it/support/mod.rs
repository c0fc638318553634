//! What the tests share: the service as a process, and HTTP down to the byte.

pub mod envelope;
pub mod faulty;
pub mod python;
pub mod service;
pub mod wire;

pub use envelope::assert_envelope;
pub use python::python;
pub use service::{ADMIN_TOKEN, Service};
pub use wire::{Answer, Ask, Connection};
