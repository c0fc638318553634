//! The adapters: places that keep sessions. They know the domain, and never HTTP.

pub mod file;
pub mod memory;

pub use file::{FileConfig, FileStore};
pub use memory::MemoryStore;
