//! The adapters: places that keep sessions. They know the domain, and never HTTP.
//!
//! [`open`] is the only place that knows which backends there are.

pub mod file;
mod instrumented;
mod memory;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use file::{FileConfig, FileStore};
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
    /// In this process, with a journal in a file that survives it.
    File {
        /// Where the file is, or is to be.
        path: PathBuf,
        /// Room for this many sessions.
        max_sessions: u64,
    },
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("--store: {0}")]
pub struct OpenError(#[from] file::OpenError);

impl StoreConfig {
    /// Reads `memory:` or `file:PATH`; the error says what would be right.
    pub fn parse(url: &str, max_sessions: u64) -> Result<Self, String> {
        let path = url
            .strip_prefix("file:")
            .map(|path| path.strip_prefix("//").unwrap_or(path));
        match (url, path) {
            ("memory:", _) => Ok(Self::Memory { max_sessions }),
            (_, Some(path)) if !path.is_empty() => Ok(Self::File {
                path: path.into(),
                max_sessions,
            }),
            _ => Err(format!(
                "`{}` is not a store; use memory: or file:PATH",
                Self::redacted(url)
            )),
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
            Self::File { .. } => None,
        }
    }
}

impl fmt::Display for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { .. } => f.write_str("memory:"),
            Self::File { path, .. } => write!(f, "file:{}", path.display()),
        }
    }
}

/// Opens the store that `config` names, with a deadline on every call, each counted. Blocks while
/// a file is read.
pub fn open(
    config: &StoreConfig,
    timeout: Duration,
    metrics: Arc<Metrics>,
) -> Result<Arc<dyn SessionStore>, OpenError> {
    Ok(match config {
        StoreConfig::Memory { max_sessions } => {
            let store = MemoryStore::new(*max_sessions);
            Arc::new(Instrumented::new(store, timeout, metrics))
        }
        StoreConfig::File { path, max_sessions } => {
            let store = FileStore::open(path, FileConfig::new(*max_sessions))?;
            Arc::new(Instrumented::new(store, timeout, metrics))
        }
    })
}
