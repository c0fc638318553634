//! A Python that has the packages of `tests/requirements.txt`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::run;

/// Its interpreter, in `target/test-venv`; made on first use, by one process at a time.
pub fn python() -> PathBuf {
    static READY: OnceLock<PathBuf> = OnceLock::new();
    READY.get_or_init(make).clone()
}

fn make() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = root.join("target");
    fs::create_dir_all(&target).unwrap();
    // The lock goes with the file.
    let lock = File::create(target.join("test-venv.lock")).unwrap();
    lock.lock().unwrap();
    let venv = ["target/test-venv", "tests/requirements.txt"];
    run(Command::new("tests/venv").args(venv).current_dir(root));
    target.join("test-venv/bin/python")
}
