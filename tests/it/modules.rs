//! The rule of who may know whom, as `src/lib.rs` states it: no arrow leads back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module and the modules of this crate that it may name, each of which stands above it.
const RULE: [(&str, &[&str]); 12] = [
    ("words", &[]),
    ("deadline", &[]),
    ("rate_limit", &[]),
    ("task", &["rate_limit"]),
    ("session", &["deadline", "rate_limit", "task"]),
    ("metrics", &["session"]),
    ("store", &["deadline", "metrics", "rate_limit", "session"]),
    (
        "http",
        &["deadline", "metrics", "rate_limit", "session", "task"],
    ),
    ("telemetry", &["rate_limit"]),
    ("config", &["http", "session", "store", "telemetry"]),
    ("cli", &["config"]),
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
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

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

/// The names that stand in `text` directly after `before`, those of a group in braces included.
fn names_after(text: &str, before: &str) -> BTreeSet<String> {
    let is_of_a_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut names = BTreeSet::new();
    for (at, _) in text.match_indices(before) {
        if text[..at].ends_with(is_of_a_name) || text[..at].ends_with(':') {
            continue;
        }
        let rest = &text[at + before.len()..];
        let group = rest.strip_prefix('{').map_or_else(
            || &rest[..rest.find(|c| !is_of_a_name(c)).unwrap_or(rest.len())],
            |group| &group[..group.find(';').unwrap()],
        );
        let mut depth = 0;
        for part in group.split_inclusive([',', '{', '}']) {
            let name = part.trim_start().split(|c| !is_of_a_name(c)).next();
            if depth == 0 {
                names.extend(name.filter(|name| !name.is_empty()).map(str::to_owned));
            }
            depth += i32::from(part.ends_with('{')) - i32::from(part.ends_with('}'));
        }
    }
    names
}

#[test]
fn modules_name_only_those_they_may_know_and_no_arrow_leads_back() {
    for (index, (module, may_know)) in RULE.iter().enumerate() {
        let is_above = |known| RULE[..index].iter().any(|(name, _)| name == known);
        assert!(may_know.iter().all(is_above), "{module}: {may_know:?}");
    }
    let src = source();
    let mut seen = BTreeSet::new();
    for file in source_files(&src) {
        let inside = file.strip_prefix(&src).unwrap().to_str().unwrap();
        let module = inside.split(['/', '.']).next().unwrap();
        if ["lib", "main"].contains(&module)
            || file.extension().is_none_or(|extension| extension != "rs")
        {
            continue;
        }
        let (_, may_know) = RULE
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("{inside} is of a module that the rule does not know"));
        seen.insert(module.to_owned());
        for known in names_after(&fs::read_to_string(&file).unwrap(), "crate::") {
            assert!(
                known == module || may_know.contains(&known.as_str()),
                "{inside} names crate::{known}"
            );
        }
    }
    assert_eq!(seen.len(), RULE.len());
}

/// The files and folders in a folder, each with those beside it that it names: directly, or by
/// what `mod.rs` shows of them.
fn neighbours(folder: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let text_of = |path: &Path| match fs::read_to_string(path) {
        Ok(text) => text,
        Err(_) => fs::read_to_string(path.join("mod.rs")).unwrap_or_default(),
    };
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files: BTreeMap<String, String> = entries
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, text_of(&path))
        })
        .collect();
    let root = &files["mod"];
    let shown = |file: &str| names_after(root, &format!("use {file}::"));
    let shown = files.keys().flat_map(|file| {
        let names = shown(file).into_iter();
        names.map(|name| (name, file.clone()))
    });
    let themselves = files.keys().map(|file| (file.clone(), file.clone()));
    let names: BTreeMap<String, String> = shown.chain(themselves).collect();
    let knows = |(file, text): (&String, &String)| {
        let text = text.split("#[cfg(test)]").next().unwrap();
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let known = names_after(&code.collect::<Vec<_>>().join("\n"), "super::");
        let known = known.iter().filter_map(|name| names.get(name)).cloned();
        (file.clone(), known.filter(|known| known != file).collect())
    };
    files
        .iter()
        .filter(|(file, _)| *file != "mod")
        .map(knows)
        .collect()
}

#[test]
fn files_beside_each_other_name_each_other_in_no_circle() {
    let mut folders: Vec<PathBuf> = source_files(&source())
        .into_iter()
        .filter(|file| file.ends_with("mod.rs"))
        .map(|file| file.parent().unwrap().to_owned())
        .collect();
    folders.sort();
    for folder in folders {
        let mut left = neighbours(&folder);
        // Those that name nobody who is left go, until only circles, and who leads to them, are.
        while let Some(file) = left
            .iter()
            .find(|(_, known)| known.iter().all(|one| !left.contains_key(one)))
            .map(|(file, _)| file.clone())
        {
            left.remove(&file);
        }
        assert!(left.is_empty(), "{}: {left:?}", folder.display());
    }
}

#[test]
fn vendors_stay_in_their_rooms() {
    let forbidden = [
        ("session", ["axum", "hyper", "redis", "clap"]),
        ("store", ["axum", "hyper", "tower", "clap"]),
        ("http", ["redis", "redb", "rusqlite", "clap"]),
    ];
    for (module, vendors) in forbidden {
        for file in source_files(&source().join(module)) {
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
