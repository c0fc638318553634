//! The adapters: places that keep sessions. They know the domain, and never HTTP.
//!
//! [`open`] is the only place that knows which backends there are.

pub mod file;
mod instrumented;
mod memory;
mod outages;
pub mod redis;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use file::{FileConfig, FileStore, OpenError};
pub use instrumented::Instrumented;
pub use memory::MemoryStore;
pub use redis::{RedisConfig, RedisStore, RedisUrl};

use crate::metrics::Metrics;
use crate::session::{CommonClass, SessionStore};

/// Which store, and what it needs to know.
#[derive(Clone, Debug)]
pub enum StoreConfig {
    /// In this process, forgotten at restart.
    Memory {
        /// Room for this many sessions.
        max_sessions: u64,
    },
    /// In this process, with a journal in a file that survives it.
    File {
        /// Where the file is, or is to be.
        path: PathBuf,
        /// Room for this many sessions.
        max_sessions: u64,
    },
    /// In Redis or Valkey, shared by many replicas of this service.
    Redis(RedisConfig),
}

impl StoreConfig {
    /// What an operator should be warned of at start.
    #[must_use]
    pub const fn warning(&self) -> Option<&'static str> {
        match self {
            Self::Memory { .. } => Some(
                "the store is memory: a restart forgets every session, which logs everybody out",
            ),
            // What a Redis server promises is known once it answers.
            Self::File { .. } | Self::Redis(_) => None,
        }
    }
}

impl fmt::Display for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { .. } => f.write_str("memory:"),
            Self::File { path, .. } => write!(f, "file:{}", path.display()),
            Self::Redis(config) => write!(f, "{}", config.url),
        }
    }
}

/// Opens the store that `config` names, with a deadline on every call, each counted. Blocks while
/// a file is read; a server need not be there yet.
pub fn open(
    config: &StoreConfig,
    timeout: Duration,
    metrics: Arc<Metrics>,
) -> Result<Arc<dyn SessionStore>, OpenError> {
    let common = CommonClass::ALL.iter().chain(&file::FileClass::ALL);
    let classes = common.chain(&redis::Class::ALL);
    metrics.expect_store_errors(classes.map(|(word, _)| *word));
    Ok(match config {
        StoreConfig::Memory { max_sessions } => {
            let store = MemoryStore::new(*max_sessions);
            Arc::new(Instrumented::new(store, timeout, metrics))
        }
        StoreConfig::File { path, max_sessions } => {
            let store = FileStore::open(path, FileConfig::new(*max_sessions))?;
            Arc::new(Instrumented::new(store, timeout, metrics))
        }
        StoreConfig::Redis(config) => {
            let store = RedisStore::open(config.clone()).counted_in(Arc::clone(&metrics));
            Arc::new(Instrumented::new(store, timeout, metrics))
        }
    })
}
