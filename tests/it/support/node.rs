//! Packages from npm, pinned by the lock file in `tests/clients`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{run, tool};

/// The directory `target/test-npm` with its `node_modules`; made on first use, by one process at
/// a time.
pub fn npm_packages() -> PathBuf {
    static READY: OnceLock<PathBuf> = OnceLock::new();
    READY.get_or_init(make).clone()
}

/// A script that may use them, to be run.
pub fn node(script: &str) -> Command {
    let mut node = Command::new(tool("node"));
    node.args(["--input-type=module", "-e", script]);
    node.current_dir(npm_packages());
    node
}

fn make() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let wanted = root.join("tests/clients");
    let directory = root.join("target/test-npm");
    fs::create_dir_all(&directory).unwrap();
    let lock = File::create(root.join("target/test-npm.lock")).unwrap();
    lock.lock().unwrap();
    let list = "package-lock.json";
    let done = directory.join("installed.json");
    if fs::read(&done).ok() != fs::read(wanted.join(list)).ok() {
        for file in ["package.json", list] {
            fs::copy(wanted.join(file), directory.join(file)).unwrap();
        }
        let mut npm = Command::new(tool("npm"));
        npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
        run(npm.current_dir(&directory));
        // Last: it says that all of the above went well.
        fs::copy(wanted.join(list), &done).unwrap();
    }
    directory
}
