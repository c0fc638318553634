//! What durability costs, and what sharing an fsync saves: `cargo bench --bench file`.
//!
//! Everything runs on one disk in one run: where, `NEPTUN_BENCH_DIR` says, or else the system's
//! place for temporary files. Prints, and fails where a promise is broken.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, and may panic"
)]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use neptun_auth::session::{Moment, Session, SessionId, SessionStore as _, Timestamp, User};
use neptun_auth::store::{FileConfig, FileStore};

const CALLERS: u64 = 64;
const AT: Moment = Moment::of(Timestamp::from_millis(1_000));

fn id(number: u64) -> SessionId {
    let mut digest = [0; 32];
    let mut state = number;
    for part in digest.chunks_exact_mut(8) {
        // splitmix64: what matters is that the digests are spread like real ones.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        part.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    SessionId::from_bytes(digest)
}

fn session(number: u64) -> Session {
    Session {
        id: id(number),
        user: User::new(&format!("user-{}", number / 2)).unwrap(),
        created_at: Timestamp::from_millis(0),
        last_seen_at: Timestamp::from_millis(0),
        expires_at: Timestamp::from_millis(i64::MAX),
        label: None,
    }
}

fn open(path: &Path, max_batch: usize) -> Arc<FileStore> {
    let config = FileConfig {
        max_batch,
        ..FileConfig::new(10_000_000)
    };
    Arc::new(FileStore::open(path, config).unwrap())
}

async fn insert(store: &Arc<FileStore>, numbers: std::ops::Range<u64>) {
    let next = Arc::new(AtomicU64::new(numbers.start));
    let callers = (0..256).map(|_| {
        let (store, next, end) = (Arc::clone(store), Arc::clone(&next), numbers.end);
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    return;
                }
                store.insert(session(number), AT).await.unwrap();
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
}

/// `CALLERS` end sessions until told to stop; how many they have ended.
struct Load {
    stop: Arc<AtomicBool>,
    callers: Vec<tokio::task::JoinHandle<u64>>,
    since: Instant,
}

impl Load {
    /// `next` is the session to be ended next.
    fn start(store: &Arc<FileStore>, next: &Arc<AtomicU64>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let callers = (0..CALLERS).map(|_| {
            let (store, stop, next) = (Arc::clone(store), Arc::clone(&stop), Arc::clone(next));
            tokio::spawn(async move {
                let mut ended = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    let id = id(next.fetch_add(1, Ordering::Relaxed));
                    assert!(store.delete(&id, AT).await.unwrap().is_some());
                    ended += 1;
                }
                ended
            })
        });
        Self {
            callers: callers.collect(),
            stop,
            since: Instant::now(),
        }
    }

    /// How many a second were ended.
    async fn stop(self) -> f64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut ended = 0_u64;
        for caller in self.callers {
            ended += caller.await.unwrap();
        }
        ended as f64 / self.since.elapsed().as_secs_f64()
    }
}

async fn logouts(path: &Path, kept: u64) {
    let store = open(path, 4096);
    insert(&store, 0..kept).await;
    store.close().await.unwrap();
    drop(store);
    let next = Arc::new(AtomicU64::new(0));
    // In turns, so that whatever else the machine does hits both alike.
    let mut rates = [(); 2].map(|()| Vec::new());
    for round in 0..6 {
        let store = open(path, [1, 4096][round % 2]);
        let load = Load::start(&store, &next);
        tokio::time::sleep(Duration::from_secs(1)).await;
        rates[round % 2].push(load.stop().await);
    }
    let [alone, sharing] = rates.map(|mut rates| {
        rates.sort_unstable_by(f64::total_cmp);
        rates[rates.len() / 2]
    });
    let ratio = sharing / alone;
    println!(
        "durable logouts, {CALLERS} callers, {kept} sessions: {alone:.0}/s one fsync each, {sharing:.0}/s sharing: {ratio:.1} times"
    );
    assert!(ratio >= 20.0, "sharing an fsync must pay");
}

/// The median time of a `find` while nothing else or something else goes on.
async fn find_p50(store: &Arc<FileStore>, kept: u64) -> Duration {
    let store = Arc::clone(store);
    let task = tokio::spawn(async move {
        let mut took = Vec::new();
        for round in 0..200_000_u64 {
            let id = id(kept - 1 - round % 1000);
            let started = Instant::now();
            assert!(black_box(store.find(&id, AT).await.unwrap()).is_some());
            took.push(started.elapsed());
            tokio::task::yield_now().await;
        }
        took.sort_unstable();
        took[took.len() / 2]
    });
    task.await.unwrap()
}

async fn reads_beside(path: &Path, kept: u64) {
    let store = open(path, 4096);
    insert(&store, 0..kept).await;
    let (mut quiet, mut beside) = (Vec::new(), Vec::new());
    let next = Arc::new(AtomicU64::new(0));
    for _ in 0..5 {
        quiet.push(find_p50(&store, kept).await);
        let load = Load::start(&store, &next);
        beside.push(find_p50(&store, kept).await);
        load.stop().await;
    }
    quiet.sort_unstable();
    beside.sort_unstable();
    println!(
        "find, p50: {:?} alone, {:?} while {CALLERS} callers log out",
        quiet[2], beside[2]
    );
}

async fn start(path: &Path, kept: u64) {
    let store = open(path, 4096);
    insert(&store, 0..kept).await;
    let copy = path.with_extension("copy");
    std::fs::copy(path, &copy).unwrap();
    drop(store);
    for (how, path) in [("clean shutdown", path), ("kill -9", &*copy)] {
        let started = Instant::now();
        let store = open(path, 4096);
        let took = started.elapsed();
        assert_eq!(store.approximate_len(), Some(kept));
        println!(
            "start with {kept} sessions after {how}: {took:?}, file {} MB",
            std::fs::metadata(path).unwrap().len() >> 20
        );
        assert!(took < Duration::from_secs(2));
    }
}

async fn churn(path: &Path, all: u64, window: u64) {
    let store = open(path, 4096);
    insert(&store, 0..window).await;
    store.close().await.unwrap();
    let live = std::fs::metadata(path).unwrap().len();
    drop(store);
    let store = open(path, 4096);
    let next = Arc::new(AtomicU64::new(window));
    let mut largest = 0;
    let callers = (0..256).map(|_| {
        let (store, next) = (Arc::clone(&store), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= all {
                    return;
                }
                store.insert(session(number), AT).await.unwrap();
                store.delete(&id(number - window), AT).await.unwrap();
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        largest = largest.max(std::fs::metadata(path).unwrap().len());
        caller.await.unwrap();
    }
    let left = std::fs::metadata(path).unwrap().len();
    println!(
        "{all} sessions through a window of {window}: file {:.1} MB at first, {:.1} MB at last ({:.2} times; 75 bytes a session make {:.1} MB)",
        live as f64 / 1e6,
        left.max(largest) as f64 / 1e6,
        left.max(largest) as f64 / live as f64,
        window as f64 * 75.0 / 1e6,
    );
    assert!(left.max(largest) <= 4 * live, "the file must not grow");
}

fn main() {
    let place = std::env::var_os("NEPTUN_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let place = place.join(format!("neptun-bench-{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        logouts(&place.join("logouts"), 1_000_000).await;
        reads_beside(&place.join("reads"), 1_000_000).await;
        start(&place.join("start"), 1_000_000).await;
        churn(&place.join("churn"), 1_000_000, 100_000).await;
    });
    std::fs::remove_dir_all(place).unwrap();
}
