//! The contract of [`SessionStore`], held against every store.
//!
//! The model decides what comes of calls one after another. A case is a function over a store and
//! knows no backend; the macro is only the list backend x case. To add a backend, write a factory and add its line to `conformance!` below.

mod cases;
mod fixtures;
mod memory;
mod model;
mod races;

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
        histories: 160,
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
        histories: 64,
        _owned: Box::new(()),
    }
}

/// Makes, for each backend, one module with one test for each case: `alone` against a fresh store,
/// or `racing` on several threads for as many rounds as the backend is good for. A case that is
/// missing here is dead code, and that does not pass the lints.
macro_rules! conformance {
    ($($backend:ident => $open:path;)*) => {$(
        mod $backend {
            #[test]
            fn every_history_is_one_of_the_model() {
                $crate::conformance::model::check(|| Box::pin($open()));
            }

            $crate::conformance::tests! { alone $open =>
                absence_is_none_false_or_nothing
                a_session_that_is_over_is_absent_from_the_very_millisecond_of_its_deadline
                nothing_is_forgotten_before_it_is_over_by_both_clocks
                asking_again_is_always_safe
                a_later_call_moves_the_mark_forward_never_back
                a_mark_that_is_ahead_of_the_present_comes_back_to_it
                a_call_may_be_begun_by_one_task_and_awaited_by_another
                a_future_that_is_dropped_leaves_the_store_whole
                list_is_the_thousand_that_expire_last_and_says_whether_there_are_more
                trim_goes_through_all_sessions_of_the_user
                approximate_len_counts_sessions_and_revocations_where_it_is_known
            }

            $crate::conformance::tests! { racing $open =>
                delete_hands_the_session_to_exactly_one_caller_however_many_ask_at_once
                delete_all_hands_the_live_ones_to_exactly_one_caller
                an_insert_that_races_with_delete_all_is_among_them_or_survives_whole
                of_logins_at_once_that_spare_the_last_the_last_stays
                an_insert_that_races_with_trim_is_among_them_or_survives_whole
                a_touch_that_races_with_a_delete_brings_nothing_back
                a_sweep_that_races_with_a_delete_takes_nothing_live
                revoke_sealed_ends_it_for_exactly_one_caller
                a_mark_that_races_with_revoke_sealed_leaves_it_revoked
            }
        }
    )*};
}

macro_rules! tests {
    (alone $open:path => $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            let backend = $open().await;
            $crate::conformance::cases::$case(&*backend.store).await;
        }
    )*};
    (racing $open:path => $($case:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $case() {
            let backend = $open().await;
            let store = std::sync::Arc::clone(&backend.store);
            $crate::conformance::races::$case(store, backend.rounds).await;
        }
    )*};
}
use tests;

conformance! {
    on_memory => super::memory;
    on_file => super::file;
    on_redis => crate::redis::backends::redis;
    on_valkey => crate::redis::backends::valkey;
    on_redis_cluster => crate::redis::backends::redis_cluster;
}
