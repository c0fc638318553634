//! What fails in a store at present, and the line that says that it works again.
//!
//! That it fails is said where it is answered for (`http::error`), and there for each operation of
//! a client. That it works again only a call to the store shows, whoever made it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::metrics::StoreOperation;

/// The least time between two lines about the same thing: a store may fail now and then.
const INTERVAL: Duration = Duration::from_secs(10);

/// The outages of one store, by what was called and what failed.
pub(super) struct Outages {
    /// By operation, so that a call that goes well costs a look at this.
    have_begun: [AtomicBool; StoreOperation::ALL.len()],
    known: Mutex<BTreeMap<(&'static str, &'static str), Outage>>,
}

/// From the beginning of the first call that failed to the end of the last, until a line has said that it is over.
struct Outage {
    failures: u64,
    first: Instant,
    last: Instant,
    last_line: Option<Instant>,
}

impl Outages {
    pub(super) const fn new() -> Self {
        Self {
            have_begun: [const { AtomicBool::new(false) }; StoreOperation::ALL.len()],
            known: Mutex::new(BTreeMap::new()),
        }
    }

    /// Such a call, begun then, has failed or has not.
    pub(super) fn note(
        &self,
        operation: StoreOperation,
        failure: Option<&'static str>,
        begun: Instant,
    ) {
        match failure {
            Some(class) => self.failed(operation, class, begun),
            None if self.have_begun[operation as usize].load(Ordering::Relaxed) => {
                self.works(operation);
            }
            None => {}
        }
    }

    fn failed(&self, operation: StoreOperation, class: &'static str, begun: Instant) {
        let now = Instant::now();
        let mut known = self.known.lock();
        let outage = known.entry((operation.word(), class)).or_insert(Outage {
            failures: 0,
            first: begun,
            last: now,
            last_line: None,
        });
        if outage.failures == 0 {
            outage.first = begun;
        }
        outage.failures += 1;
        outage.last = now;
        self.have_begun[operation as usize].store(true, Ordering::Relaxed);
    }

    fn works(&self, operation: StoreOperation) {
        let name = operation.word();
        let mut over = Vec::new();
        let mut is_more_to_say = false;
        let mut known = self.known.lock();
        let of_it = known.iter_mut().filter(|((of, _), _)| *of == name);
        for ((_, class), outage) in of_it.filter(|(_, outage)| outage.failures > 0) {
            if outage
                .last_line
                .is_some_and(|last| last.elapsed() < INTERVAL)
            {
                is_more_to_say = true;
                continue;
            }
            outage.last_line = Some(Instant::now());
            let failures = std::mem::take(&mut outage.failures);
            over.push((*class, failures, outage.last - outage.first));
        }
        self.have_begun[operation as usize].store(is_more_to_say, Ordering::Relaxed);
        // Not under the lock: a line may have to wait for whoever reads the log.
        drop(known);
        for (class, failures, lasted) in over {
            let millis = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(
                operation = name,
                class,
                failures,
                millis,
                "the session store works again"
            );
        }
    }
}
