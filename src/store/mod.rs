//! The adapters: places that keep sessions. They know the domain, and never HTTP.
//!
//! [`open`] is the only place that knows which backends there are.

mod instrumented;
mod memory;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use instrumented::Instrumented;
pub use memory::MemoryStore;

use crate::metrics::Metrics;
use crate::session::SessionStore;

/// Which store, and what it needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreConfig {
    /// In this process, forgotten at restart.
    Memory {
        /// Room for this many sessions.
        max_sessions: u64,
    },
}

impl StoreConfig {
    /// Reads `memory:`; the error says what would be right.
    pub fn parse(url: &str) -> Result<Self, String> {
        match url {
            "memory:" => Ok(Self::Memory { max_sessions: 0 }),
            _ => Err(format!(
                "`{}` is not a store; use memory:",
                Self::redacted(url)
            )),
        }
    }

    /// The same store with room for `max_sessions`, where that is ours to limit.
    #[must_use]
    pub fn with_max_sessions(self, max_sessions: u64) -> Self {
        match self {
            Self::Memory { .. } => Self::Memory { max_sessions },
        }
    }

    /// The URL without the password it may hold.
    #[must_use]
    pub fn redacted(url: &str) -> String {
        match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, address))) => format!("{scheme}://(redacted)@{address}"),
            _ => url.to_owned(),
        }
    }

    /// What an operator should be warned of at start.
    #[must_use]
    pub const fn warning(&self) -> Option<&'static str> {
        match self {
            Self::Memory { .. } => Some(
                "the store is memory: a restart forgets every session, which logs everybody out",
            ),
        }
    }
}

impl fmt::Display for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { .. } => f.write_str("memory:"),
        }
    }
}

/// Opens the store that `config` names, with a deadline on every call, each counted.
#[must_use]
pub fn open(
    config: &StoreConfig,
    timeout: Duration,
    metrics: Arc<Metrics>,
) -> Arc<dyn SessionStore> {
    match *config {
        StoreConfig::Memory { max_sessions } => {
            let store = MemoryStore::new(max_sessions);
            Arc::new(Instrumented::new(store, timeout, metrics))
        }
    }
}
