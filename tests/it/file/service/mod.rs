//! The service on a file, from outside: what a start says and how long it takes.

mod crash;
mod full;
mod others;
mod power;
mod slow;

use std::path::Path;
use std::time::{Duration, Instant};

use neptun_auth::session::{Clock as _, Moment, Session, SessionStore as _, SystemClock};
use neptun_auth::store::FileStore;

use super::{Scratch, config, id, user};
use crate::support::crowd::SEALS;
use crate::support::{Service, service};

fn store_at(path: &Path) -> String {
    format!("file:{}", path.display())
}

pub(super) fn start_at(path: &Path) -> Service {
    Service::with(&["--store", &store_at(path), SEALS[0], SEALS[1]])
}

/// Starts a service that must not start; the one line it says.
pub(super) fn refusal(path: &Path) -> String {
    let said = service::refusal(&["--store", &store_at(path)]);
    assert_eq!(said.len(), 1, "{said:?}");
    said.concat()
}

#[test]
fn a_second_process_on_the_file_exits_with_one_line_and_disturbs_nobody() {
    let scratch = Scratch::new("second-process");
    let path = scratch.join("sessions");
    let first = start_at(&path);
    let token = first.token_of("42");
    let said = refusal(&path);
    assert!(
        said.contains("in use by another process: stop it, or give each"),
        "{said}"
    );
    assert!(said.contains(path.to_str().unwrap()), "{said}");
    assert_eq!(first.logout(&token).body, "true");
    let (status, _) = first.stop();
    assert!(status.success());
    assert!(!start_at(&path).is_live(&token));
}

#[test]
fn a_copy_brings_back_what_was_logged_out_since_unless_sessions_since_ends_it() {
    let scratch = Scratch::new("restored");
    let (path, copy) = (scratch.join("sessions"), scratch.join("copy"));
    let service = start_at(&path);
    let (ended, kept) = (service.token_of("42"), service.token_of("42"));
    service.stop();
    std::fs::copy(&path, &copy).unwrap();
    let service = start_at(&path);
    assert_eq!(service.logout(&ended).body, "true");
    service.stop();

    std::fs::copy(&copy, &path).unwrap();
    let service = start_at(&path);
    assert!(service.is_live(&ended) && service.is_live(&kept));
    service.stop();
    let now = SystemClock.now().to_string();
    let service = Service::with(&["--store", &store_at(&path), "--sessions-since", &now]);
    assert!(!service.is_live(&ended) && !service.is_live(&kept));
    assert!(service.is_live(&service.token_of("42")));
}

#[test]
fn a_damaged_file_is_refused_with_one_line_that_says_what_to_do() {
    let scratch = Scratch::new("damaged-service");
    let path = scratch.join("sessions");
    let service = start_at(&path);
    let token = service.token_of("42");
    service.stop();
    let good = std::fs::read(&path).unwrap();
    for bad in [&b""[..], b"no session file", &good[..good.len() / 2]] {
        std::fs::write(&path, bad).unwrap();
        let said = refusal(&path);
        assert!(
            said.contains("restore it from a copy, or move it away")
                && said.contains("a copy brings back what was logged out since")
                && said.contains("--sessions-since"),
            "{said}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), bad, "it was touched");
    }
    std::fs::write(&path, good).unwrap();
    assert!(start_at(&path).is_live(&token));
}

#[test]
fn a_start_with_many_sessions_is_quick() {
    const MANY: u64 = 100_000;
    let scratch = Scratch::new("many");
    let path = scratch.join("sessions");
    let now = SystemClock.now();
    let session = |number| Session {
        id: id(number),
        user: user(&format!("user-{}", number % 1000)),
        created_at: now,
        last_seen_at: now,
        expires_at: now.plus(Duration::from_hours(1)),
        label: None,
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let at = Moment::of(now);
        let store = FileStore::open(&path, config()).unwrap();
        let numbers: Vec<u64> = (0..MANY).collect();
        for some in numbers.chunks(4096) {
            let inserted = some.iter().map(|&number| store.insert(session(number), at));
            let inserted = futures_util::future::join_all(inserted).await;
            assert!(inserted.iter().all(Result::is_ok));
        }
        // Dropped without a close, it is as a crash leaves it but for the lock.
    });
    let begun = Instant::now();
    let service = start_at(&path);
    let took = begun.elapsed();
    // `cargo bench --bench file` holds a million to 2 s; this binary is not optimized.
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(service.list("user-7").len(), 100);
}
