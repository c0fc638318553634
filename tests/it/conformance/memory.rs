//! What only the memory store promises: its cap, and that nothing is left behind.

use std::sync::Arc;

use neptun_auth::session::{Moment, Session, SessionStore as _, StoreErrorKind};
use neptun_auth::store::MemoryStore;

use super::fixtures::{HOUR, MINUTE, later, present, sealed_of, session_of, sweep_all, user};

fn is_full<T>(answer: &Result<T, neptun_auth::session::StoreError>) -> bool {
    matches!(answer, Err(error) if error.kind() == StoreErrorKind::Full)
}

/// A store at its cap of `cap` sessions of one user.
async fn full_store(cap: u64, at: Moment) -> (MemoryStore, Vec<Session>) {
    let store = MemoryStore::new(cap);
    let mut sessions = Vec::new();
    for _ in 0..cap {
        let session = session_of(&user("anna"), at);
        store.insert(session.clone(), at).await.unwrap();
        sessions.push(session);
    }
    (store, sessions)
}

#[tokio::test]
async fn nothing_is_left_of_sessions_that_expired_and_were_swept() {
    let (store, at) = (MemoryStore::new(1_000_000), present());
    for nth in 0..20_000 {
        let owner = user(&format!("user {}", nth % 3_000));
        store.insert(session_of(&owner, at), at).await.unwrap();
        if nth % 10 == 0 {
            store.revoke_sealed(&sealed_of(None, at), at).await.unwrap();
            let until = Some(at.now.plus(HOUR));
            let other = user(&format!("marked {nth}"));
            store.delete_all(&other, at, until).await.unwrap();
        }
    }
    assert_eq!(store.approximate_len(), Some(24_000));
    assert_eq!(store.indexed_users(), 3_000);
    sweep_all(&store, later(at, HOUR)).await;
    assert_eq!(store.approximate_len(), Some(0));
    assert_eq!(store.indexed_users(), 0);
}

#[tokio::test]
async fn nothing_is_left_of_sessions_that_were_deleted() {
    let (store, at) = (MemoryStore::new(1_000), present());
    for round in 0..1_000 {
        let owner = user(&format!("user {}", round % 7));
        let session = session_of(&owner, at);
        store.insert(session.clone(), at).await.unwrap();
        if round % 2 == 0 {
            store.delete(&session.id, at).await.unwrap();
        } else {
            store.delete_all(&owner, at, None).await.unwrap();
        }
    }
    assert_eq!(store.approximate_len(), Some(0));
    assert_eq!(store.indexed_users(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_left_when_everything_races() {
    let (store, at) = (Arc::new(MemoryStore::new(1_000_000)), present());
    let tasks: Vec<_> = (0..4)
        .map(|task| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for round in 0..20_000 {
                    let owner = user(&format!("user {}", round % 5));
                    let session = Session {
                        expires_at: at.now.plus(MINUTE * (round % 3)),
                        ..session_of(&owner, at)
                    };
                    let minute = later(at, MINUTE);
                    store.insert(session.clone(), at).await.unwrap();
                    match (round + task) % 4 {
                        0 => drop(store.delete(&session.id, minute).await.unwrap()),
                        1 => drop(store.delete_all(&owner, at, None).await.unwrap()),
                        2 => drop(store.touch(&session.id, minute).await.unwrap()),
                        _ => store.sweep(minute).await.unwrap(),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    sweep_all(&*store, later(at, HOUR)).await;
    assert_eq!(store.approximate_len(), Some(0));
    assert_eq!(store.indexed_users(), 0);
}

#[tokio::test]
async fn at_the_cap_insert_refuses_with_full_rather_than_evict_a_live_one() {
    let at = present();
    let (store, sessions) = full_store(100, at).await;
    let last = later(at, 59 * MINUTE);
    for at in [at, later(at, MINUTE), last] {
        let refused = store.insert(session_of(&user("berta"), at), at).await;
        assert!(is_full(&refused), "{refused:?}");
        for session in &sessions {
            assert!(store.find(&session.id, at).await.unwrap().is_some());
        }
    }
    assert_eq!(store.approximate_len(), Some(100));
    assert_eq!(store.indexed_users(), 1);
}

#[tokio::test]
async fn at_the_cap_a_session_that_is_over_makes_room_and_so_does_a_deleted_one() {
    let at = present();
    let (store, sessions) = full_store(100, at).await;
    store.delete(&sessions[7].id, at).await.unwrap();
    store
        .insert(session_of(&user("berta"), at), at)
        .await
        .unwrap();
    assert!(is_full(
        &store.insert(session_of(&user("berta"), at), at).await
    ));
    // All but one are over an hour later, and so many fit in, one after another.
    let then = later(at, HOUR);
    for _ in 0..100 {
        store
            .insert(session_of(&user("clara"), then), then)
            .await
            .unwrap();
    }
    assert!(is_full(
        &store.insert(session_of(&user("clara"), then), then).await
    ));
    assert_eq!(store.approximate_len(), Some(100));
    assert_eq!(
        store
            .list(&user("clara"), then)
            .await
            .unwrap()
            .sessions
            .len(),
        100
    );
}

#[tokio::test]
async fn a_full_store_finds_room_again_although_the_clock_was_set_back() {
    let at = present();
    let (store, sessions) = full_store(3, at).await;
    let day = later(at, 24 * HOUR);
    for session in &sessions {
        store.delete(&session.id, at).await.unwrap();
        store
            .insert(session_of(&user("anna"), day), day)
            .await
            .unwrap();
    }
    assert!(is_full(
        &store.insert(session_of(&user("anna"), day), day).await
    ));
    store.delete_all(&user("anna"), at, None).await.unwrap();
    for _ in 0..3 {
        store
            .insert(session_of(&user("anna"), at), at)
            .await
            .unwrap();
    }
    let hour = later(at, HOUR);
    store
        .insert(session_of(&user("anna"), hour), hour)
        .await
        .unwrap();
}

#[tokio::test]
async fn at_the_cap_a_revocation_is_refused_with_full_rather_than_another_forgotten() {
    let (store, at) = (MemoryStore::new(3), present());
    let seals: Vec<_> = (0..3).map(|_| sealed_of(None, at)).collect();
    for sealed in &seals {
        assert!(store.revoke_sealed(sealed, at).await.unwrap());
    }
    let one_more = sealed_of(None, later(at, MINUTE));
    assert!(is_full(&store.revoke_sealed(&one_more, at).await));
    assert!(!store.is_revoked(&one_more, at).await.unwrap());
    assert!(is_full(
        &store.insert(session_of(&user("anna"), at), at).await
    ));
    let until = Some(at.now.plus(HOUR));
    assert!(is_full(&store.delete_all(&user("anna"), at, until).await));
    for sealed in &seals {
        assert!(store.is_revoked(sealed, at).await.unwrap());
        // No room is needed to say that it was over already.
        assert!(!store.revoke_sealed(sealed, at).await.unwrap());
    }
    // One that is over makes room here as well.
    assert!(
        store
            .revoke_sealed(&one_more, later(at, HOUR))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn at_the_cap_a_user_can_still_be_logged_out_everywhere() {
    let at = present();
    let (store, sessions) = full_store(3, at).await;
    let sealed = sealed_of(Some(&user("anna")), at);
    let until = Some(at.now.plus(HOUR));
    let ended = store.delete_all(&user("anna"), at, until).await.unwrap();
    assert_eq!(ended.len(), sessions.len());
    assert!(store.is_revoked(&sealed, at).await.unwrap());
    assert_eq!(store.approximate_len(), Some(1));
}
