//! A Python with what `tests/requirements.txt` names, made on first use and kept.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The interpreter of `target/test-venv`.
pub fn python() -> PathBuf {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(make).clone()
}

fn make() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let venv = root.join("target/test-venv");
    fs::create_dir_all(root.join("target")).unwrap();
    // Several test binaries may run at once; the lock goes with the file.
    let lock = File::create(root.join("target/test-venv.lock")).unwrap();
    lock.lock().unwrap();
    let python = venv.join("bin/python");
    let wanted = fs::read_to_string(root.join("tests/requirements.txt")).unwrap();
    let filled_with = venv.join("filled-with.txt");
    if fs::read_to_string(&filled_with).is_ok_and(|had| had == wanted) {
        return python;
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "-r",
        "tests/requirements.txt",
    ];
    run(Command::new(&python).args(pip).current_dir(root));
    fs::write(filled_with, wanted).unwrap();
    python
}

fn run(command: &mut Command) {
    let status = command.status();
    assert!(status.is_ok_and(|status| status.success()), "{command:?}");
}
