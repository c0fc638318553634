//! The adapters: places that keep sessions. They know the domain, and never HTTP.

pub mod memory;
pub mod redis;

pub use memory::MemoryStore;
pub use redis::{RedisConfig, RedisStore, RedisUrl};
