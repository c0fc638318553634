//! File systems that a test mounts for itself. Without the right to mount it fails: a promise that
//! was not tested must not look kept.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{run, tool};

/// A mounted file system; gone when dropped.
pub(super) struct Mounted(PathBuf);

impl Mounted {
    /// One in memory, of this size.
    pub(super) fn tmpfs(at: &Path, size: &str) -> Self {
        Self::mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], at)
    }

    /// The one in this image. The journal is written out when somebody syncs and not from time to
    /// time, so that nothing but a sync brings anything into the image.
    pub(super) fn image(image: &Path, at: &Path) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let image = image.display().to_string();
        Self::mount(&["-o", "loop,commit=300", &image], at)
    }

    fn mount(arguments: &[&str], at: &Path) -> Self {
        // As root only.
        run(Command::new("mount").args(arguments).arg(at));
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Makes an image with an empty ext4 in it.
pub(super) fn make_image(path: &Path, bytes: u64) {
    std::fs::File::create(path).unwrap().set_len(bytes).unwrap();
    let mut mkfs = Command::new(tool("mkfs.ext4"));
    mkfs.args(["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"]);
    run(mkfs.arg(path));
}
