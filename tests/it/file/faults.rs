//! Disks that fail, hang, fill up and lose their power.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use neptun_auth::session::{
    SealedSession, SessionStore as _, StoreError, StoreErrorKind, Timestamp,
};
use neptun_auth::store::file::OpenError;
use neptun_auth::store::{FileConfig, FileStore};

use super::disk::{Disk, Flavour};
use super::mounted::Mounted;
use super::{AT, Scratch, config, id, is_live, numbers_of, open, session, user};
use crate::support::wait_until;

const FLAVOURS: [Flavour; 3] = [Flavour::Refused, Flavour::Applied, Flavour::Torn];

fn sealed() -> SealedSession {
    SealedSession {
        id: id(900),
        user: Some(user("sealed")),
        created_at: Timestamp::from_millis(500),
        expires_at: Timestamp::from_millis(1_000_000),
    }
}

/// Four sessions: 1 and 2 of ann, 3 and 4 of bob; as a crash leaves them.
async fn four_sessions() -> Vec<u8> {
    let disk = Disk::with(Vec::new());
    let store = open(&disk);
    for (number, of) in [(1, "ann"), (2, "ann"), (3, "bob"), (4, "bob")] {
        store.insert(session(number, of), AT).await.unwrap();
    }
    disk.power_cut(0)
}

/// What came of one of each call that changes something.
#[derive(Debug)]
struct Outcome {
    deleted: Option<bool>,
    inserted: Option<()>,
    deleted_all: Option<usize>,
    revoked: Option<bool>,
}

impl Outcome {
    async fn of_each_call(store: &FileStore, patience: Duration) -> Self {
        let deleted = answer(patience, store.delete(&id(1), AT)).await;
        let inserted = answer(patience, store.insert(session(5, "ann"), AT)).await;
        let deleted_all = answer(patience, store.delete_all(&user("bob"), AT, None)).await;
        Self {
            deleted: deleted.map(|ended| ended.is_some()),
            inserted,
            deleted_all: deleted_all.map(|ended| ended.len()),
            revoked: answer(patience, store.revoke_sealed(&sealed(), AT)).await,
        }
    }
}

/// For calls to a disk that answers again.
const PATIENT: Duration = Duration::from_secs(20);

/// For a disk that is broken for good: a change of which it is not known whether the disk holds it
/// is not answered.
const IMPATIENT: Duration = Duration::from_millis(50);

/// What a call hands over in time.
async fn answer<T>(
    patience: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Option<T> {
    tokio::time::timeout(patience, call).await.ok()?.ok()
}

/// Holds what a store says now against what it has answered.
async fn holds(store: &FileStore, outcome: &Outcome, when: &str) {
    assert!(is_live(store, 2).await, "{when}: a session nobody ended");
    if outcome.deleted.is_some() {
        assert!(!is_live(store, 1).await, "{when}: {outcome:?}");
    }
    if outcome.inserted.is_some() {
        assert!(is_live(store, 5).await, "{when}: {outcome:?}");
    }
    if outcome.deleted_all.is_some() {
        assert!(
            numbers_of(store, "bob").await.is_empty(),
            "{when}: {outcome:?}"
        );
    }
    if outcome.revoked.is_some() {
        assert!(store.is_revoked(&sealed(), AT).await.unwrap(), "{when}");
    }
    for (number, of) in [(1, "ann"), (2, "ann"), (3, "bob"), (4, "bob"), (5, "ann")] {
        let listed = numbers_of(store, of).await;
        let number = u64::try_from(number).unwrap();
        let is_listed = listed.contains(&i64::try_from(number).unwrap());
        assert_eq!(is_live(store, number).await, is_listed, "{when}: the index");
    }
}

async fn one_fault(image: Vec<u8>, calls_before: u64, for_ever: bool, flavour: Flavour) {
    let when = format!("call {calls_before}, for ever {for_ever}, {flavour:?}");
    let disk = Disk::with(image);
    let store = open(&disk);
    disk.fail(calls_before, for_ever, flavour);
    let patience = if for_ever { IMPATIENT } else { PATIENT };
    let first = Outcome::of_each_call(&store, patience).await;
    assert!(is_live(&store, 2).await, "{when}: reads go on");
    holds(&store, &first, &when).await;
    if !for_ever {
        let was_ended = !is_live(&store, 1).await;
        assert_eq!(
            first.deleted.is_some(),
            was_ended,
            "{when}: nothing in silence"
        );
    }
    disk.heal();
    store.ready().await.unwrap();
    holds(&store, &first, &format!("{when}, healed")).await;
    let restarted = open(&Disk::with(disk.power_cut(0)));
    for of in ["ann", "bob"] {
        let (now, then) = (numbers_of(&store, of), numbers_of(&restarted, of));
        assert_eq!(now.await, then.await, "{when}: memory and disk");
    }
    assert_eq!(
        store.is_revoked(&sealed(), AT).await.unwrap(),
        restarted.is_revoked(&sealed(), AT).await.unwrap(),
        "{when}: memory and disk"
    );
    let was_live = is_live(&store, 1).await;
    let again = Outcome::of_each_call(&store, PATIENT).await;
    // Asking again settles it: ended now if it was live, and never handed out twice.
    assert_eq!(again.deleted, Some(was_live), "{when}");
    assert!(
        again.deleted_all.is_some() && again.revoked.is_some(),
        "{when}"
    );
    if first.revoked == Some(true) {
        assert_eq!(again.revoked, Some(false), "{when}");
    }
    holds(&store, &again, &format!("{when}, again")).await;
    for seed in 0..3 {
        let after = open(&Disk::with(disk.power_cut(seed)));
        holds(&after, &again, &format!("{when}, after a power cut")).await;
    }
}

#[tokio::test]
async fn every_single_call_to_the_disk_may_fail_once_and_for_ever() {
    let image = four_sessions().await;
    let disk = Disk::with(image.clone());
    let store = open(&disk);
    let before = disk.calls();
    Outcome::of_each_call(&store, PATIENT).await;
    let calls = disk.calls() - before;
    assert!(calls >= 8, "each of four commits writes and syncs: {calls}");
    for calls_before in 0..calls + 2 {
        for for_ever in [false, true] {
            for flavour in FLAVOURS {
                one_fault(image.clone(), calls_before, for_ever, flavour).await;
            }
        }
    }
}

#[tokio::test]
async fn every_single_call_may_fail_again_while_it_recovers() {
    let image = four_sessions().await;
    for calls_before in 0.. {
        let disk = Disk::with(image.clone());
        let store = open(&disk);
        let opened = disk.calls();
        disk.fail(0, true, Flavour::Torn);
        assert!(answer(IMPATIENT, store.delete(&id(1), AT)).await.is_none());
        // On a busy machine the store's thread may not have come to it yet.
        wait_until("the disk has failed", || disk.calls() > opened);
        let before = disk.calls();
        disk.fail(calls_before, false, Flavour::Torn);
        let second = answer(PATIENT, store.delete(&id(1), AT)).await;
        let calls = disk.calls() - before;
        disk.heal();
        let third = store.delete(&id(1), AT).await.unwrap();
        assert!(is_live(&store, 2).await);
        assert!(!is_live(&store, 1).await);
        if let Some(second) = second {
            assert!(second.is_none() || third.is_none(), "handed out twice");
        }
        let after = open(&Disk::with(disk.power_cut(calls_before)));
        assert!(!is_live(&after, 1).await);
        assert!(is_live(&after, 2).await);
        if calls <= calls_before {
            assert!(calls > 8, "recovery reads, writes and syncs: {calls}");
            return;
        }
    }
}

#[tokio::test]
async fn every_single_call_may_fail_while_it_opens_and_nothing_is_lost() {
    let image = four_sessions().await;
    for calls_before in 0.. {
        let disk = Disk::with(image.clone());
        disk.fail(calls_before, false, Flavour::Torn);
        let opened = FileStore::open_on(Arc::clone(&disk) as _, config());
        let is_over = disk.calls() <= calls_before;
        disk.heal();
        match opened {
            Ok(store) => assert_eq!(store.approximate_len(), Some(4)),
            Err(error) => {
                assert!(
                    matches!(error, OpenError::Io { .. }),
                    "{calls_before}: {error}"
                );
            }
        }
        let after = open(&Disk::with(disk.power_cut(calls_before)));
        assert_eq!(after.approximate_len(), Some(4));
        if is_over {
            return;
        }
    }
}

#[tokio::test]
async fn a_power_cut_brings_no_acknowledged_logout_back() {
    const SESSIONS: u64 = 2_000;
    let disk = Disk::with(Vec::new());
    let store = Arc::new(open(&disk));
    let inserts = (0..SESSIONS).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.insert(session(number, "ann"), AT).await })
    });
    for insert in inserts.collect::<Vec<_>>() {
        insert.await.unwrap().unwrap();
    }
    let acknowledged = Arc::new(Mutex::new(HashSet::new()));
    let callers = (0..64).map(|caller| {
        let (store, acknowledged) = (Arc::clone(&store), Arc::clone(&acknowledged));
        tokio::spawn(async move {
            for number in (caller..SESSIONS / 2).step_by(64) {
                assert!(store.delete(&id(number), AT).await.unwrap().is_some());
                acknowledged.lock().unwrap().insert(number);
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    let mut cuts: Vec<(HashSet<u64>, Vec<u8>)> = Vec::new();
    let mut looked_at = 0;
    while looked_at < SESSIONS / 2 {
        // First who was answered, then the cut.
        let answered = acknowledged.lock().unwrap().clone();
        let is_last = answered.len() as u64 == SESSIONS / 2;
        if is_last || answered.len() as u64 >= looked_at + 25 {
            looked_at = answered.len() as u64;
            cuts.push((answered, disk.power_cut(cuts.len() as u64)));
        }
        tokio::task::yield_now().await;
    }
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(cuts.len() > 5, "{} cuts", cuts.len());
    for (answered, image) in cuts {
        let store = open(&Disk::with(image));
        for number in answered {
            assert!(!is_live(&store, number).await, "session {number} is back");
        }
        for number in SESSIONS / 2..SESSIONS {
            assert!(is_live(&store, number).await, "session {number} is lost");
        }
    }
}

#[tokio::test]
async fn a_disk_that_hangs_keeps_no_read_waiting() {
    let disk = Disk::with(four_sessions().await);
    let store = Arc::new(open(&disk));
    let stuck = disk.stick();
    let ending = Arc::clone(&store);
    let ending = tokio::spawn(async move { ending.delete(&id(1), AT).await });
    let given_up = Arc::clone(&store);
    let given_up = tokio::spawn(async move { given_up.delete(&id(3), AT).await });
    for _ in 0..1000 {
        assert!(is_live(&store, 2).await);
        tokio::task::yield_now().await;
    }
    assert!(!ending.is_finished(), "answered before it was on disk");
    given_up.abort();
    assert!(given_up.await.is_err());
    drop(stuck);
    assert!(ending.await.unwrap().unwrap().is_some());
    store.ready().await.unwrap();
    assert!(
        !is_live(&store, 3).await,
        "a call that began is carried out"
    );
}

#[tokio::test]
async fn of_many_at_once_exactly_one_ends_a_session() {
    let disk = Disk::with(four_sessions().await);
    let store = Arc::new(open(&disk));
    let stuck = disk.stick();
    let callers = (0..100).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.delete(&id(1), AT).await.unwrap().is_some() })
    });
    let callers: Vec<_> = callers.collect();
    tokio::task::yield_now().await;
    drop(stuck);
    let mut ended = 0;
    for caller in callers {
        ended += usize::from(caller.await.unwrap());
    }
    assert_eq!(ended, 1);
}

#[tokio::test]
async fn a_full_disk_fails_writes_and_nothing_else_until_there_is_space() {
    let scratch = Scratch::new("full");
    let _mounted = Mounted::tmpfs(&scratch, "4m");
    let config = FileConfig {
        retry_after: Duration::from_millis(5),
        ..config()
    };
    let store = Arc::new(FileStore::open(&scratch.join("sessions"), config).unwrap());
    let ballast = scratch.join("ballast");
    let mut kept = Vec::new();
    for number in 0..2_000 {
        store.insert(session(number, "ann"), AT).await.unwrap();
        kept.push(number);
    }
    // Takes all that is left: the copy ends with an error, which is the point.
    let _ = std::io::copy(
        &mut std::io::repeat(0),
        &mut std::fs::File::create(&ballast).unwrap(),
    );
    let mut refused = 0;
    for number in 2_000..40_000 {
        match store.insert(session(number, "ann"), AT).await {
            Ok(()) => kept.push(number),
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Unavailable);
                assert_eq!(error.class(), "disk_full", "{error:?}");
                refused += 1;
            }
        }
        if refused > 20 {
            break;
        }
    }
    assert!(refused > 20, "the disk was not full");
    let (mut ended, mut unsure) = (Vec::new(), Vec::new());
    for number in kept.drain(..500) {
        match store.delete(&id(number), AT).await {
            Ok(session) => {
                assert!(session.is_some());
                ended.push(number);
            }
            Err(_) => unsure.push(number),
        }
        assert!(is_live(&store, kept_one(number)).await);
    }
    std::fs::remove_file(&ballast).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while store.ready().await.is_err() {
        assert!(Instant::now() < deadline, "it does not recover");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for number in unsure {
        let was_live = is_live(&store, number).await;
        assert_eq!(
            store.delete(&id(number), AT).await.unwrap().is_some(),
            was_live
        );
        ended.push(number);
    }
    store.close().await.unwrap();
    drop(store);
    let store = FileStore::open(&scratch.join("sessions"), config).unwrap();
    for number in ended {
        assert!(!is_live(&store, number).await, "session {number} is back");
    }
    for number in kept {
        assert!(is_live(&store, number).await, "session {number} is lost");
    }
}

/// Some session that the test above does not end.
fn kept_one(number: u64) -> u64 {
    1_000 + number % 1_000
}
