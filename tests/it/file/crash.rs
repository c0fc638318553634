//! A process that is killed in the midst of its work.

use std::collections::HashSet;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use neptun_auth::session::SessionStore as _;
use neptun_auth::store::FileStore;

use super::{AT, Scratch, config, id, is_live, numbers_of, session};
use crate::support::{Process, rerun};

const FILE: &str = "NEPTUN_TEST_CRASH_FILE";
const FROM: &str = "NEPTUN_TEST_CRASH_FROM";
const CALLERS: u64 = 32;

/// What the child said before it died, and so what it knew then.
#[derive(Default)]
struct Said {
    kept: HashSet<u64>,
    ending: HashSet<u64>,
    ended: HashSet<u64>,
}

fn owner(number: u64) -> String {
    format!("user-{}", number % 50)
}

#[tokio::test]
async fn eight_kills_bring_nobody_back_and_lose_nobody() {
    let scratch = Scratch::new("crash");
    let path = scratch.join("sessions");
    let mut said = Said::default();
    for round in 0..8_u64 {
        run_child_and_kill(&path, round * 1_000_000, 300 + round * 150, &mut said);
        let store = FileStore::open(&path, config()).unwrap();
        for &number in &said.ended {
            assert!(!is_live(&store, number).await, "{round}: {number} is back");
        }
        for &number in said.kept.difference(&said.ending) {
            assert!(is_live(&store, number).await, "{round}: {number} is lost");
            let listed = numbers_of(&store, &owner(number)).await;
            let number = i64::try_from(number).unwrap();
            assert!(listed.contains(&number), "{round}: {number} is not listed");
        }
    }
    assert!(said.ended.len() > 500, "{}", said.ended.len());
}

fn run_child_and_kill(path: &Path, from: u64, sessions: u64, said: &mut Said) {
    let mut child = rerun("file::crash::the_child");
    child.env(FILE, path).env(FROM, from.to_string());
    let mut child = Process::start(child);
    for _ in 0..sessions * 3 {
        child.wait_for_line(" ");
    }
    child.signal("KILL");
    let (status, lines) = child.wait();
    assert!(!status.success(), "it was to be killed");
    for line in lines {
        let (word, number) = line.split_once(' ').unwrap_or_default();
        let Ok(number) = number.parse() else {
            continue;
        };
        match word {
            "kept" => said.kept.insert(number),
            "ending" => said.ending.insert(number),
            "ended" => said.ended.insert(number),
            _ => continue,
        };
    }
}

/// Not a test: what `run_child_and_kill` starts. Issues and ends sessions until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other half of the crash test"]
async fn the_child() {
    let (Ok(path), Ok(from)) = (std::env::var(FILE), std::env::var(FROM)) else {
        return;
    };
    let from: u64 = from.parse().unwrap();
    let store = Arc::new(FileStore::open(Path::new(&path), config()).unwrap());
    let callers = (0..CALLERS).map(|caller| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for number in (from + caller..).step_by(CALLERS.try_into().unwrap()) {
                store
                    .insert(session(number, &owner(number)), AT)
                    .await
                    .unwrap();
                say("kept", number);
                // Two of three sessions end, by turns long after they began.
                let ending = number.saturating_sub(CALLERS * 5);
                if ending >= from && ending % 3 > 0 {
                    say("ending", ending);
                    assert!(store.delete(&id(ending), AT).await.unwrap().is_some());
                    say("ended", ending);
                }
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
}

/// One line, whole: written at once to the pipe, where it outlives this process.
fn say(word: &str, number: u64) {
    let line = format!("{word} {number}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}
