//! The contract of [`SessionStore`], held against every store.
//!
//! A case is a function over a store and knows no backend; the macro is only the list backend x
//! case. To add a backend, write a factory and add its line to `conformance!` below.

mod cases;
mod memory;
mod model;

use std::any::Any;
use std::sync::Arc;

use neptun_auth::session::SessionStore;
use neptun_auth::store::{FileConfig, FileStore, MemoryStore};

use crate::file::disk::Disk;

/// A fresh, empty store, together with whatever it needs to live. Fields drop in this order: the
/// store goes before its server or directory.
pub(crate) struct Backend {
    /// The store under test.
    pub(crate) store: Arc<dyn SessionStore>,
    /// How often a race is run: thousands where a call takes a microsecond, dozens where it syncs.
    pub(crate) rounds: u32,
    /// How many histories are held against the model.
    pub(crate) histories: u32,
    /// A server, a directory: owned, and never looked at.
    pub(crate) _owned: Box<dyn Any + Send + Sync>,
}

/// The factory of the memory store.
async fn memory() -> Backend {
    Backend {
        store: Arc::new(MemoryStore::new(1_000_000)),
        rounds: 500,
        histories: 512,
        _owned: Box::new(()),
    }
}

/// The factory of the file store, on a disk in memory: faults and real files have tests of
/// their own.
async fn file() -> Backend {
    let config = FileConfig::new(1_000_000);
    Backend {
        store: Arc::new(FileStore::open_on(Disk::with(Vec::new()), config).unwrap()),
        rounds: 50,
        histories: 128,
        _owned: Box::new(()),
    }
}

/// Makes, for each backend, one module with one test for each case.
macro_rules! conformance {
    ($($backend:ident => $open:path;)*) => {$(
        mod $backend {
            $crate::conformance::cases::for_each_case!($open);

            #[test]
            fn every_history_is_one_of_the_model() {
                $crate::conformance::model::check(|| Box::pin($open()));
            }
        }
    )*};
}

conformance! {
    on_memory => super::memory;
    on_file => super::file;
    on_redis => crate::redis::backends::redis;
    on_valkey => crate::redis::backends::valkey;
    on_redis_cluster => crate::redis::backends::redis_cluster;
}
