//! The memory store at one and ten million sessions: what a call costs, what a session weighs,
//! and how long anybody is ever kept waiting. `cargo bench --bench store`, some two minutes.
//!
//! No framework: what matters here are the longest pauses and the size of one fill, which a
//! sampler of averages does not see. Pauses are those of a single poll, so of everything that a
//! call does without letting others run; a table's lock is held for a part of that. They are in
//! processor time, which other programs on the machine do not lengthen.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]
#![expect(clippy::print_stdout, reason = "its result is a table on the terminal")]
#![expect(
    clippy::cast_precision_loss,
    reason = "no figure has more than four digits"
)]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use neptun_auth::session::{
    Clock as _, Moment, Session, SessionId, SessionStore as _, SystemClock, User,
};
use neptun_auth::store::MemoryStore;
use rustix::time::{ClockId, clock_gettime};

const MILLION: u64 = 1_000_000;
const SESSIONS_PER_USER: u64 = 10;

/// Enough calls of a kind for a steady figure.
const CALLS: u64 = MILLION / 2;

/// On a thread of its own, as in the service: glibc gives a main thread's memory back in one
/// piece, with a pause of some 20 ms for a gigabyte, and another's piece by piece.
fn main() {
    std::thread::spawn(all).join().unwrap();
}

fn all() {
    let at = Moment::of(SystemClock.now());
    // The first fill: nothing was ever allocated before, so the resident size is its own.
    weight(at);
    for sessions in [MILLION, 10 * MILLION] {
        let store = MemoryStore::new(20 * MILLION);
        fill(&store, sessions, at);
        // Kept, for the freeing of what the benchmark itself made is no pause of the store's.
        let _kept = [1, 2].map(|threads| calls(&store, sessions, threads, at));
        sweeps(&store, at);
    }
    one_user(at);
    full(at);
}

/// Ids and users as the service would have them, and the same in every run.
fn id(number: u64) -> SessionId {
    let mut digest = [0; 32];
    for (chunk, lane) in digest.chunks_exact_mut(8).zip(1_u64..) {
        let mut mixed = number.wrapping_mul(4).wrapping_add(lane);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    SessionId::from_bytes(digest)
}

/// A number below `sessions`, scattered so that no call finds its neighbour's cache lines warm.
const fn scattered(number: u64, sessions: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % sessions
}

fn session(number: u64, users: u64, at: Moment) -> Session {
    Session {
        id: id(number),
        user: User::new(&format!("{:08}", scattered(number, users))).unwrap(),
        created_at: at.now,
        last_seen_at: at.now,
        expires_at: at.now.plus(Duration::from_hours(1)),
        label: None,
    }
}

/// Runs a call that waits for nothing, and says how long its longest poll took.
fn longest_poll<T>(call: impl Future<Output = T>) -> (T, Duration) {
    let mut call = pin!(call);
    let mut context = Context::from_waker(Waker::noop());
    let mut longest = Duration::ZERO;
    loop {
        let start = processor_time();
        let polled = call.as_mut().poll(&mut context);
        longest = longest.max(since(start));
        if let Poll::Ready(answer) = polled {
            return (answer, longest);
        }
    }
}

fn now<T>(call: impl Future<Output = T>) -> T {
    let mut call = pin!(call);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(answer) = call.as_mut().poll(&mut context) {
            return answer;
        }
    }
}

/// What this thread has used of a processor.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}

fn since(start: Duration) -> Duration {
    processor_time().saturating_sub(start)
}

/// The memory of this process that is in use, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

fn weight(at: Moment) {
    println!("resident bytes a session, one million, names of 8 bytes:");
    // Kept to the end: what the second takes must not be what the first gave back.
    let mut stores = Vec::new();
    for users in [100_000, MILLION] {
        let before = resident();
        let store = MemoryStore::new(2 * MILLION);
        for number in 0..MILLION {
            now(store.insert(session(number, users, at), at)).unwrap();
        }
        let bytes = (resident() - before) as f64 / MILLION as f64;
        println!("  {users:>9} users {bytes:>8.0}");
        stores.push(store);
    }
    println!();
}

fn fill(store: &MemoryStore, sessions: u64, at: Moment) {
    let users = sessions / SESSIONS_PER_USER;
    let (mut longest, start) = (Duration::ZERO, Instant::now());
    for number in 0..sessions {
        let session = session(number, users, at);
        let (inserted, pause) = longest_poll(store.insert(session, at));
        inserted.unwrap();
        longest = longest.max(pause);
    }
    println!("{sessions} sessions of {users} users");
    println!(
        "  filled in {:.1} s, longest insert {:.3} ms",
        start.elapsed().as_secs_f64(),
        millis(longest)
    );
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

/// Runs `CALLS` calls on each of `threads` threads; nanoseconds of one thread's call: waited, and
/// of processor time.
fn timed(threads: u64, call: impl Fn(u64) + Sync) -> String {
    let start = Instant::now();
    let used: Duration = std::thread::scope(|scope| {
        let run = |thread| {
            let start = processor_time();
            (thread * CALLS..(thread + 1) * CALLS).for_each(&call);
            since(start)
        };
        let handles: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || run(thread)))
            .collect();
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap())
            .sum()
    });
    let waited = start.elapsed().as_secs_f64() * 1e9 / CALLS as f64;
    let used = used.as_secs_f64() * 1e9 / (threads * CALLS) as f64;
    format!("{waited:.0} ({used:.0})")
}

fn calls(store: &MemoryStore, sessions: u64, threads: u64, at: Moment) -> Vec<Session> {
    let users = sessions / SESSIONS_PER_USER;
    let known = |number| id(scattered(number, sessions));
    // Made beforehand: not the store's work. New ones come and go, the fill stays.
    let made: Vec<Session> = (0..threads * CALLS)
        .map(|number| session(sessions + number, users, at))
        .collect();
    let fresh = |number: u64| &made[usize::try_from(number).unwrap()];
    let insert = timed(threads, |number| {
        now(store.insert(fresh(number).clone(), at)).unwrap();
    });
    let find = timed(threads, |number| {
        assert!(now(store.find(&known(number), at)).unwrap().is_some());
    });
    let touch = timed(threads, |number| {
        assert!(now(store.touch(&known(number), at)).unwrap());
    });
    let delete = timed(threads, |number| {
        assert!(now(store.delete(&fresh(number).id, at)).unwrap().is_some());
    });
    println!(
        "  {threads} thread(s), ns a call, waited (worked): insert {insert}, find {find}, touch {touch}, delete {delete}"
    );
    made
}

/// Rounds of the sweep: over live sessions, over dead ones, over nothing.
fn sweeps(store: &MemoryStore, at: Moment) {
    let then = Moment {
        now: at.now.plus(Duration::from_hours(1)),
        ..at
    };
    for (what, at) in [("all live", at), ("all over", then), ("empty", then)] {
        let (mut pauses, mut steps, start) = (Vec::new(), Vec::new(), processor_time());
        for _ in 0..256 {
            let step = processor_time();
            let (swept, pause) = longest_poll(store.sweep(at));
            swept.unwrap();
            pauses.push(pause);
            steps.push(since(step));
        }
        let total = since(start);
        pauses.sort();
        steps.sort();
        println!(
            "  sweep, {what:>8}: longest pause {:.3} ms (median step's {:.3}), longest step {:.3} ms, round {:.0} ms",
            millis(pauses[255]),
            millis(pauses[128]),
            millis(steps[255]),
            millis(total)
        );
    }
    assert_eq!(store.approximate_len(), Some(0));
    assert_eq!(store.indexed_users(), 0);
    println!("  resident afterwards {} MiB\n", resident() >> 20);
}

/// A user with a million sessions must not cost more than others do.
fn one_user(at: Moment) {
    let store = MemoryStore::new(2 * MILLION);
    for number in 0..MILLION {
        now(store.insert(session(number, 1, at), at)).unwrap();
    }
    let delete = timed(1, |number| {
        assert!(now(store.delete(&id(number), at)).unwrap().is_some());
    });
    let user = session(0, 1, at).user;
    let start = Instant::now();
    let ended = now(store.delete_all(&user, at, None)).unwrap().len();
    println!("1000000 sessions of one user");
    println!(
        "  delete {delete} ns, delete_all of the other {ended} {:.0} ms\n",
        millis(start.elapsed())
    );
}

/// A full store looks for room first; how long that takes when there is none.
fn full(at: Moment) {
    let store = MemoryStore::new(10 * MILLION);
    for number in 0..10 * MILLION {
        now(store.insert(session(number, MILLION, at), at)).unwrap();
    }
    let start = Instant::now();
    let (refused, pause) = longest_poll(store.insert(session(u64::MAX, MILLION, at), at));
    assert!(refused.is_err());
    println!("10000000 sessions, full");
    println!(
        "  refused after {:.0} ms, longest pause {:.3} ms",
        millis(start.elapsed()),
        millis(pause)
    );
}
