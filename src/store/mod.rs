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

pub use file::{FileConfig, FileStore};
pub use instrumented::Instrumented;
pub use memory::MemoryStore;
pub use redis::{RedisConfig, RedisStore, RedisUrl};

use crate::metrics::Metrics;
use crate::session::SessionStore;

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

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("--store: {0}")]
pub struct OpenError(#[from] file::OpenError);

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
    metrics.expect_store_errors(redis::error_classes());
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use crate::metrics::{Metrics, STORE_ERROR_CLASSES};

    /// What stands right before a class where an adapter says one.
    const BEFORE_A_CLASS: [&str; 5] = [
        "StoreErrorKind::Unavailable, ",
        "StoreErrorKind::TimedOut, ",
        "StoreErrorKind::Full, ",
        "Fault::new(",
        "Self::new(",
    ];

    /// And where it is found out from an error of a library.
    const BEFORE_A_CLASS_OF_A_LIBRARY: [&str; 2] = ["=> ", "return "];

    /// Those of the adapters that have no list of their own.
    fn classes_in(folder: &Path, classes: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("redis") {
                    classes_in(&path, classes);
                }
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            let mut markers = BEFORE_A_CLASS.to_vec();
            if path.ends_with("file/journal.rs") {
                markers.extend(BEFORE_A_CLASS_OF_A_LIBRARY);
            }
            for marker in markers {
                let marker = format!("{marker}\"");
                let quoted = code.split(&marker).skip(1);
                let words = quoted.map(|rest| rest.split('"').next().unwrap());
                classes.extend(words.map(str::to_owned));
            }
        }
    }

    #[test]
    fn every_class_of_every_adapter_is_counted_from_the_start_and_no_other() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut said = BTreeSet::from(["timeout".to_owned()]);
        classes_in(&root.join("src/store"), &mut said);
        let listed: BTreeSet<String> = STORE_ERROR_CLASSES.map(str::to_owned).into();
        assert_eq!(said, listed);
        let metrics = Metrics::new(&[], &[]);
        metrics.expect_store_errors(super::redis::error_classes());
        let text = metrics.text().unwrap();
        for class in STORE_ERROR_CLASSES
            .into_iter()
            .chain(super::redis::error_classes())
        {
            let series = format!("neptun_auth_store_errors_total{{class=\"{class}\"}} 0");
            assert!(text.contains(&series), "{series} in {text}");
        }
    }
}
