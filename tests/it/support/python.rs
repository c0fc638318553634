//! A Python that has the packages of `tests/requirements.txt`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::tool;

/// Its interpreter, in `target/test-venv`; made on first use, by one process at a time.
pub fn python() -> PathBuf {
    static READY: OnceLock<PathBuf> = OnceLock::new();
    READY.get_or_init(make).clone()
}

fn make() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let wanted = root.join("tests/requirements.txt");
    let venv = root.join("target/test-venv");
    fs::create_dir_all(root.join("target")).unwrap();
    let lock = File::create(root.join("target/test-venv.lock")).unwrap();
    lock.lock().unwrap();
    let has = venv.join("requirements.txt");
    if fs::read(&has).ok() != fs::read(&wanted).ok() {
        let run = |program: &Path, args: &[&str], last: &Path| {
            let status = Command::new(program).args(args).arg(last).status();
            let hint = "tests/run installs what a Python environment needs";
            assert!(
                status.unwrap().success(),
                "{} failed; {hint}",
                program.display()
            );
        };
        run(&tool("python3"), &["-m", "venv", "--clear"], &venv);
        let quiet = ["install", "--quiet", "--disable-pip-version-check", "-r"];
        run(&venv.join("bin/pip"), &quiet, &wanted);
        // Last: it says that all of the above went well.
        fs::copy(&wanted, &has).unwrap();
    }
    venv.join("bin/python")
}
