//! What the tests share: the service as a process, and HTTP down to the byte.

pub mod crowd;
pub mod envelope;
pub mod faulty;
pub mod service;
pub mod start;
pub mod wire;

pub use envelope::assert_envelope;
pub use service::{ADMIN_TOKEN, Service};
pub use start::Start;
pub use wire::{Answer, Ask, Connection};
