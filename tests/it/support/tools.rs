//! The programs that tests start. One that is missing fails its test, never skips it.

use std::path::PathBuf;

/// Where a plain user's `PATH` does not look, and Debian keeps its servers.
const SYSTEM: &str = "/usr/sbin:/sbin";

/// The path of a program.
pub fn tool(name: &str) -> PathBuf {
    let found = find_tool(name);
    found.unwrap_or_else(|| panic!("{name} is not installed; tests/run installs it"))
}

/// The same of one that may be missing.
pub fn find_tool(name: &str) -> Option<PathBuf> {
    let path = format!("{}:{SYSTEM}", std::env::var("PATH").unwrap_or_default());
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}
