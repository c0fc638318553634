//! The file itself: who may read it, who may open it, what is in it, and how large it gets.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use neptun_auth::session::{
    Label, Moment, SealedSession, Session, SessionId, SessionStore as _, SessionToken, Timestamp,
};
use neptun_auth::store::file::{Device as _, OpenError};
use neptun_auth::store::{FileConfig, FileStore};
use redb::{ReadableDatabase as _, TableDefinition};

use super::disk::Disk;
use super::{AT, Scratch, config, id, is_live, numbers_of, open, session, user};

/// Where the file says in which version of the format it is.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

fn refusal(path: &Path) -> OpenError {
    match FileStore::open(path, config()) {
        Ok(_) => panic!("it was opened"),
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "one line: {error}");
            error
        }
    }
}

async fn file_with_sessions(path: &Path) {
    let store = FileStore::open(path, config()).unwrap();
    for number in 0..100 {
        store.insert(session(number, "ann"), AT).await.unwrap();
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn file_and_directory_are_private() {
    let scratch = Scratch::new("private");
    let path = scratch.join("a").join("b").join("sessions");
    file_with_sessions(&path).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(path.parent().unwrap().parent().unwrap()), 0o700);
    let names = std::fs::read_dir(path.parent().unwrap()).unwrap();
    assert_eq!(names.count(), 1, "nothing else is left there");
}

#[test]
fn of_many_that_make_the_file_at_once_exactly_one_gets_it() {
    let scratch = Scratch::new("at-once");
    for round in 0..50 {
        let path = scratch.join(format!("sessions-{round}"));
        if round % 2 == 1 {
            // What a crash leaves.
            std::fs::write(path.with_extension("new"), "half").unwrap();
        }
        let opened: Vec<_> = std::thread::scope(|scope| {
            let open = || FileStore::open(&path, config());
            let openers: Vec<_> = (0..6).map(|_| scope.spawn(open)).collect();
            let opened = openers.into_iter().map(|opener| opener.join().unwrap());
            opened.collect()
        });
        let mut stores = 0;
        for opened in opened {
            match opened {
                Ok(_) => stores += 1,
                Err(error) => assert!(matches!(error, OpenError::Locked(_)), "{error}"),
            }
        }
        assert_eq!(stores, 1, "round {round}");
        let names = std::fs::read_dir(&*scratch).unwrap();
        assert_eq!(names.count(), round + 1, "nothing else is left there");
    }
}

#[test]
fn a_path_that_cannot_be_a_file_is_refused_with_advice() {
    let scratch = Scratch::new("no-file");
    let file = scratch.join("file");
    std::fs::write(&file, "").unwrap();
    for (path, advice) in [
        (&*scratch, "name a file in that directory"),
        (&file.join("sessions"), "must be a directory, and is a file"),
        // Where not even root can make a directory.
        (Path::new("/proc/neptun/sessions"), "make it, or name"),
    ] {
        let said = refusal(path).to_string();
        let begin = format!("session file {}: ", path.display());
        assert!(said.starts_with(&begin) && said.contains(advice), "{said}");
    }
}

#[test]
fn what_the_system_refuses_comes_with_advice() {
    // Not as a real file: whoever runs the tests may be root, who is refused nothing.
    for (kind, advice) in [
        (ErrorKind::PermissionDenied, "let the user that runs this"),
        (ErrorKind::ReadOnlyFilesystem, "mount the file system"),
        (ErrorKind::StorageFull, "make room on the disk"),
    ] {
        let (path, source) = ("/x/sessions".into(), kind.into());
        let said = OpenError::Io { path, source }.to_string();
        assert!(said.starts_with("session file /x/sessions: "), "{said}");
        assert!(said.contains(advice) && !said.contains('\n'), "{said}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_or_whole_but_never_opened_with_less() {
    let scratch = Scratch::new("damaged");
    let path = scratch.join("sessions");
    file_with_sessions(&path).await;
    let good = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for offset in (0..good.len()).step_by(509) {
        let mut bad = good.clone();
        bad[offset] ^= 0x10;
        std::fs::write(&path, bad).unwrap();
        match FileStore::open(&path, config()) {
            Ok(store) => assert_eq!(numbers_of(&store, "ann").await.len(), 100, "{offset}"),
            Err(error) => {
                assert!(
                    matches!(error, OpenError::Damaged { .. }),
                    "{offset}: {error}"
                );
                assert!(error.to_string().contains("restore it"), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 5, "{refused}");
    for length in [0, 10, 4096, good.len() / 2] {
        std::fs::write(&path, &good[..length]).unwrap();
        assert!(
            matches!(refusal(&path), OpenError::Damaged { .. }),
            "{length}"
        );
    }
    std::fs::write(&path, "something else altogether").unwrap();
    assert!(matches!(refusal(&path), OpenError::Damaged { .. }));
    std::fs::write(&path, good).unwrap();
    let store = FileStore::open(&path, config()).unwrap();
    assert_eq!(store.approximate_len(), Some(100));
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let scratch = Scratch::new("newer");
    let path = scratch.join("sessions");
    file_with_sessions(&path).await;
    let db = redb::Database::create(&path).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(META).unwrap().insert("version", 3).unwrap();
    txn.commit().unwrap();
    drop(db);
    let error = refusal(&path);
    assert!(matches!(error, OpenError::Newer { .. }), "{error}");
    assert!(error.to_string().contains("version 3"), "{error}");
}

#[tokio::test]
async fn the_format_is_a_new_one_with_the_first_label_and_not_before() {
    let scratch = Scratch::new("labels");
    let path = scratch.join("sessions");
    let version = || {
        let db = redb::Database::create(&path).unwrap();
        let meta = db.begin_read().unwrap().open_table(META).unwrap();
        meta.get("version").unwrap().unwrap().value()
    };
    file_with_sessions(&path).await;
    assert_eq!(version(), 1);

    let labelled = Session {
        label: Label::new("Firefox on Linux, Vienna").ok(),
        ..session(1_000, "ann")
    };
    let store = FileStore::open(&path, config()).unwrap();
    store.insert(labelled.clone(), AT).await.unwrap();
    drop(store);
    assert_eq!(version(), 2);

    let store = FileStore::open(&path, config()).unwrap();
    assert_eq!(
        store.find(&labelled.id, AT).await.unwrap(),
        Some(labelled.clone())
    );
    store.delete(&labelled.id, AT).await.unwrap();
    drop(store);
    assert_eq!(version(), 2, "rows of before may be there");
}

#[tokio::test]
async fn there_is_no_token_in_the_file() {
    let disk = Disk::with(Vec::new());
    let store = open(&disk);
    let token = SessionToken::generate().unwrap();
    let mut session = session(1, "ann");
    session.id = SessionId::of(&token);
    store.insert(session.clone(), AT).await.unwrap();
    let image = disk.power_cut(0);
    let holds = |part: &[u8]| image.windows(part.len()).any(|window| window == part);
    assert!(holds(session.id.as_bytes()), "the digest is");
    assert!(!holds(&token.expose().as_bytes()[..16]));
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let disk = Disk::with(Vec::new());
    let sealed = SealedSession {
        id: id(7),
        user: Some(user("cy")),
        created_at: Timestamp::from_millis(500),
        expires_at: Timestamp::from_millis(1_000_000),
    };
    let of_dan = SealedSession {
        id: id(8),
        user: Some(user("dan")),
        ..sealed.clone()
    };
    let later = Moment {
        now: Timestamp::from_millis(90_000),
        ..AT
    };
    let store = open(&disk);
    store.insert(session(1, "ann"), AT).await.unwrap();
    store.insert(session(2, "ann"), AT).await.unwrap();
    assert!(store.touch(&id(1), later).await.unwrap());
    assert!(store.delete(&id(2), AT).await.unwrap().is_some());
    assert!(store.revoke_sealed(&sealed, AT).await.unwrap());
    let until = Some(Timestamp::from_millis(1_000_000));
    let ended = store.delete_all(&user("dan"), AT, until).await.unwrap();
    assert!(ended.is_empty());
    store.close().await.unwrap();
    assert!(store.delete(&id(1), AT).await.is_err(), "closed");
    drop(store);

    let store = open(&disk);
    let found = store.find(&id(1), later).await.unwrap().unwrap();
    assert_eq!(found.last_seen_at, later.now);
    assert!(!is_live(&store, 2).await);
    assert!(store.is_revoked(&sealed, AT).await.unwrap());
    assert!(store.is_revoked(&of_dan, AT).await.unwrap());
    assert!(!store.revoke_sealed(&sealed, AT).await.unwrap());
    assert_eq!(store.approximate_len(), Some(3));
}

#[tokio::test]
async fn a_session_that_idled_out_and_was_swept_stays_over_under_a_longer_rule() {
    let disk = Disk::with(Vec::new());
    let store = open(&disk);
    store.insert(session(1, "ann"), AT).await.unwrap();
    let strict = Moment {
        idle_timeout: Some(Duration::from_secs(1)),
        ..Moment::of(Timestamp::from_millis(5_000))
    };
    for _ in 0..256 {
        store.sweep(strict).await.unwrap();
    }
    assert_eq!(store.approximate_len(), Some(0));
    let store = open(&Disk::with(disk.power_cut(0)));
    assert!(!is_live(&store, 1).await);
}

#[tokio::test]
async fn a_full_store_refuses_and_makes_room_of_what_is_over() {
    let disk = Disk::with(Vec::new());
    let config = FileConfig {
        max_sessions: 3,
        ..config()
    };
    let store = FileStore::open_on(disk, config).unwrap();
    for number in 0..3 {
        store.insert(session(number, "ann"), AT).await.unwrap();
    }
    assert!(store.insert(session(3, "ann"), AT).await.is_err());
    let all_over = Moment {
        now: Timestamp::from_millis(2_000_000),
        ..AT
    };
    store.insert(session(3, "ann"), all_over).await.unwrap();
    assert_eq!(store.approximate_len(), Some(1));
}

#[tokio::test]
async fn the_file_stays_small_while_sessions_come_and_go() {
    const WINDOW: u64 = 2_000;
    let disk = Disk::with(Vec::new());
    let store = Arc::new(open(&disk));
    let callers = (0..64).map(|caller| {
        let (store, disk) = (Arc::clone(&store), Arc::clone(&disk));
        tokio::spawn(async move {
            let mut at_first = 0;
            for number in (caller..WINDOW * 6).step_by(64) {
                store.insert(session(number, "ann"), AT).await.unwrap();
                if number >= WINDOW {
                    let over = id(number - WINDOW);
                    assert!(store.delete(&over, AT).await.unwrap().is_some());
                } else {
                    at_first = disk.len().unwrap();
                }
            }
            at_first
        })
    });
    let mut live = 0;
    for caller in callers.collect::<Vec<_>>() {
        live = live.max(caller.await.unwrap());
    }
    let last = disk.len().unwrap();
    assert_eq!(store.approximate_len(), Some(WINDOW));
    assert!(last <= 4 * live, "{last} bytes, {live} for the live ones");
}
