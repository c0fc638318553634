//! A bit that changes on the disk, in what was written last before a kill.

use neptun_auth::session::SessionStore as _;
use neptun_auth::store::FileStore;
use neptun_auth::store::file::OpenError;

use super::disk::Disk;
use super::service::{refusal, start_at};
use super::{AT, Scratch, config, id, is_live, open, session};
use crate::support::lines_with;

const PAGE: usize = 4096;

/// What the engine uses of the first page, in bits.
const HEADER: usize = 320 * 8;

/// Where the journal notes how far callers were answered.
const NOTE: std::ops::Range<usize> = PAGE - 16..PAGE;

/// The pages that the last write has changed, but for the first.
fn changed(before: &[u8], after: &[u8]) -> Vec<usize> {
    let is_new = |page: &usize| before.chunks(PAGE).nth(*page) != after.chunks(PAGE).nth(*page);
    (1..after.len() / PAGE).filter(is_new).collect()
}

fn flip(image: &mut [u8], bit: usize) {
    image[bit / 8] ^= 1 << (bit % 8);
}

#[tokio::test]
async fn a_flipped_bit_in_the_newest_write_is_refused_or_changes_nothing() {
    let disk = Disk::with(Vec::new());
    let store = open(&disk);
    for number in 0..100 {
        store.insert(session(number, "ann"), AT).await.unwrap();
    }
    let before = disk.power_cut(0);
    assert!(store.delete(&id(7), AT).await.unwrap().is_some());
    // As a kill leaves it: what was not synced is there too.
    let image = disk.killed();
    let pages = changed(&before, &image);
    let in_pages = pages
        .iter()
        .flat_map(|page| (page * PAGE * 8..(page + 1) * PAGE * 8).step_by(2003));
    let bits = (72..80)
        .chain((0..HEADER).step_by(11))
        .chain((NOTE.start * 8..NOTE.end * 8).step_by(5))
        .chain(in_pages);
    let (mut whole, mut refused) = (0, 0);
    for bit in bits {
        let mut bad = image.clone();
        flip(&mut bad, bit);
        match FileStore::open_on(Disk::with(bad) as _, config()) {
            Ok(store) => {
                assert!(!is_live(&store, 7).await, "bit {bit}: it is back");
                assert_eq!(store.approximate_len(), Some(99), "bit {bit}");
                whole += 1;
            }
            Err(error) => {
                let is_damage = matches!(error, OpenError::Damaged { .. });
                assert!(is_damage, "bit {bit}: {error}");
                refused += 1;
            }
        }
    }
    assert!(
        whole > 50 && refused > 50,
        "{whole} whole, {refused} refused"
    );
}

#[test]
fn a_logout_lost_with_the_newest_write_is_refused_and_after_a_power_cut_at_least_said() {
    let scratch = Scratch::new("lost-logout");
    let path = scratch.join("sessions");
    let service = start_at(&path);
    let token = service.token_of("42");
    let before = std::fs::read(&path).unwrap();
    assert_eq!(service.logout(&token).body, "true");
    let after = std::fs::read(&path).unwrap();
    service.signal("KILL");
    drop(service);
    let warning = "the journal's last write was incomplete and is dropped";
    let has_warning = |log: &[String]| !lines_with(log, &[warning]).is_empty();

    let intact = start_at(&path);
    assert!(!intact.is_live(&token));
    let (_, log) = intact.stop();
    assert!(!has_warning(&log), "a false alarm: {log:#?}");

    let (mut refused, mut lost) = (0, 0);
    for page in changed(&before, &after) {
        let mut bad = after.clone();
        flip(&mut bad, (page * PAGE + 16) * 8);
        std::fs::write(&path, &bad).unwrap();
        match FileStore::open(&path, config()) {
            Ok(_) => continue,
            Err(error) => assert!(matches!(error, OpenError::Damaged { .. }), "{error}"),
        }
        assert!(
            refusal(&path).contains("restore it from a copy"),
            "asked again"
        );
        refused += 1;
        // A power cut leaves an older note, or none.
        bad[NOTE].fill(0);
        std::fs::write(&path, &bad).unwrap();
        let service = start_at(&path);
        let is_back = service.is_live(&token);
        let (_, log) = service.stop();
        assert_eq!(is_back, has_warning(&log), "page {page}: {log:#?}");
        lost += usize::from(is_back);
    }
    assert!(refused > 0 && lost > 0, "{refused} refused, {lost} lost");
}
