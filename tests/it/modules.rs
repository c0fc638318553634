//! The rule of who may know whom, as `src/lib.rs` states it.

use std::fs;
use std::path::{Path, PathBuf};

/// A module and the modules of this crate that it may name.
const RULE: [(&str, &[&str]); 12] = [
    ("words", &[]),
    ("deadline", &[]),
    ("rate_limit", &[]),
    ("metrics", &["session"]),
    ("task", &["rate_limit"]),
    ("session", &["deadline", "rate_limit", "task"]),
    ("store", &["deadline", "metrics", "rate_limit", "session"]),
    (
        "http",
        &["deadline", "metrics", "rate_limit", "session", "task"],
    ),
    ("config", &["http", "server", "session", "store"]),
    (
        "server",
        &[
            "config",
            "http",
            "metrics",
            "rate_limit",
            "session",
            "store",
            "task",
            "telemetry",
        ],
    ),
    ("telemetry", &["config", "rate_limit", "session"]),
    ("healthcheck", &[]),
];

fn source_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                source_files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn modules_name_only_those_they_may_know() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = Vec::new();
    for file in source_files(&src) {
        let inside = file.strip_prefix(&src).unwrap().to_str().unwrap();
        let module = inside.split(['/', '.']).next().unwrap();
        if ["lib", "main"].contains(&module) {
            continue;
        }
        let (_, may_know) = RULE
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("{inside} is of a module that the rule does not know"));
        seen.push(module.to_owned());
        let text = fs::read_to_string(&file).unwrap();
        for known in text.split("crate::").skip(1) {
            let known: String = known
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            assert!(
                known == module || may_know.contains(&known.as_str()),
                "{inside} names crate::{known}"
            );
        }
    }
    assert!(
        RULE.iter()
            .all(|(name, _)| seen.iter().any(|module| module == name))
    );
}

#[test]
fn vendors_stay_in_their_rooms() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let forbidden = [
        ("session", ["axum", "hyper", "redis", "clap"]),
        ("store", ["axum", "hyper", "tower", "clap"]),
        ("http", ["redis", "redb", "rusqlite", "clap"]),
    ];
    for (module, vendors) in forbidden {
        for file in source_files(&src.join(module)) {
            let text = fs::read_to_string(&file).unwrap();
            for vendor in vendors {
                assert!(
                    !text.contains(&format!("{vendor}::")),
                    "{file:?} names {vendor}"
                );
            }
        }
    }
}
