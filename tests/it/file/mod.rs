//! What the file store promises beyond the contract of all stores: that it survives.

pub(crate) mod disk;
mod faults;
mod flips;
mod mounted;
mod place;
mod service;

use std::sync::Arc;
use std::time::Duration;

use neptun_auth::session::{Moment, Session, SessionId, SessionStore as _, Timestamp, User};
use neptun_auth::store::{FileConfig, FileStore};

use disk::Disk;

use crate::support::Scratch;

const AT: Moment = Moment::of(Timestamp::from_millis(1_000));

/// A fault is tried again at once, so that tests need not wait.
fn config() -> FileConfig {
    FileConfig {
        retry_after: Duration::ZERO,
        ..FileConfig::new(1_000_000)
    }
}

fn id(number: u64) -> SessionId {
    let mut digest = [0; 32];
    let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    digest[..8].copy_from_slice(&spread.to_le_bytes());
    digest[8..16].copy_from_slice(&number.to_le_bytes());
    SessionId::from_bytes(digest)
}

fn user(name: &str) -> User {
    User::new(name).unwrap()
}

fn session(number: u64, of: &str) -> Session {
    Session {
        id: id(number),
        user: user(of),
        created_at: Timestamp::from_millis(i64::try_from(number).unwrap()),
        last_seen_at: Timestamp::from_millis(0),
        expires_at: Timestamp::from_millis(1_000_000),
        label: None,
    }
}

fn open(disk: &Arc<Disk>) -> FileStore {
    FileStore::open_on(Arc::clone(disk) as _, config()).unwrap()
}

async fn is_live(store: &FileStore, number: u64) -> bool {
    store.find(&id(number), AT).await.unwrap().is_some()
}

async fn numbers_of(store: &FileStore, of: &str) -> Vec<i64> {
    let sessions = store.list(&user(of), AT).await.unwrap().sessions;
    sessions
        .iter()
        .map(|session| session.created_at.as_millis())
        .collect()
}
