//! The adapters: places that keep sessions. They know the domain, and never HTTP.

pub mod memory;

pub use memory::MemoryStore;
