//! What others on the machine could have put in the way of the file, or could change in it.

use std::fs::{Permissions, create_dir, set_permissions, write};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use super::super::Scratch;
use super::{refusal, start_at};
use crate::support::{lines_with, run};

/// Neither root nor whoever runs the tests.
const SOMEBODY: u32 = 4711;

fn mode_of(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A start must be refused, with one line that names the setting and says this.
fn refused(path: &Path, why: &str) {
    let said = refusal(path);
    assert!(said.contains("--store: session file "), "{said}");
    assert!(said.contains(why), "{said}");
}

/// A start and a stop in order; how many lines contained `text`.
fn warnings(path: &Path, text: &str) -> usize {
    let (status, log) = start_at(path).stop();
    assert!(status.success(), "{log:#?}");
    lines_with(&log, &[text]).len()
}

/// Makes a good file, as a service does.
fn make(path: &Path) {
    assert_eq!(warnings(path, "another file in its place"), 0);
}

#[test]
fn a_directory_that_everybody_may_write_to_is_refused_wherever_it_stands_on_the_way() {
    let scratch = Scratch::new("everybody");
    let open = scratch.join("open");
    let below = open.join("below");
    let link = scratch.join("link");
    std::fs::create_dir_all(&below).unwrap();
    symlink(&open, &link).unwrap();
    make(&open.join("made-before"));
    for mode in [0o777, 0o703, 0o2777] {
        set_mode(&open, mode);
        for path in [
            open.join("sessions"),
            open.join("made-before"),
            below.join("sessions"),
            link.join("sessions"),
        ] {
            refused(&path, &format!("chmod o-w {}", open.display()));
        }
    }
    set_mode(&open, 0o1777);
    make(&open.join("sessions"));
    make(&below.join("sessions"));
}

#[test]
fn a_file_of_another_user_is_refused_and_left_as_it_is() {
    let scratch = Scratch::new("of-another");
    let path = scratch.join("sessions");
    make(&path);
    let good = std::fs::read(&path).unwrap();
    chown(&path, Some(SOMEBODY), None).unwrap();
    refused(&path, "it belongs to user 4711");
    assert_eq!(std::fs::read(&path).unwrap(), good);
    chown(&path, Some(0), None).unwrap();
    make(&path);
}

#[test]
fn what_is_no_file_of_its_own_is_refused_at_once() {
    let scratch = Scratch::new("no-file-of-its-own");
    let path = scratch.join("sessions");
    run(Command::new("mkfifo").arg(&path));
    refused(&path, "name a file");
    std::fs::remove_file(&path).unwrap();
    drop(UnixListener::bind(&path).unwrap());
    refused(&path, "name a file");
    std::fs::remove_file(&path).unwrap();
    refused(Path::new("/dev/full"), "name a file");
    create_dir(&path).unwrap();
    refused(&path, "name a file in that directory");
    refused(&path.join("new/"), "name a file in that directory");
    std::fs::remove_dir(&path).unwrap();

    make(&path);
    let twin = scratch.join("twin");
    std::fs::hard_link(&path, &twin).unwrap();
    refused(&path, "a hard link");
    std::fs::remove_file(twin).unwrap();
    make(&path);
}

#[test]
fn a_link_leads_to_a_good_file_and_one_that_leads_nowhere_is_refused() {
    let scratch = Scratch::new("links");
    let (link, target) = (scratch.join("link"), scratch.join("target"));
    symlink("target", &link).unwrap();
    refused(&link, "a symbolic link that leads nowhere");
    assert!(link.is_symlink() && !target.exists(), "something was made");
    let service = start_at(&target);
    let token = service.token_of("42");
    service.stop();
    let service = start_at(&link);
    assert_eq!(service.logout(&token).body, "true");
    service.stop();
    assert!(link.is_symlink());
    assert!(!start_at(&target).is_live(&token));
}

#[test]
fn what_somebody_put_where_a_new_file_is_made_is_refused_and_left_as_it_is() {
    let scratch = Scratch::new("draft");
    let path = scratch.join("sessions");
    let draft = scratch.join("sessions.new");
    let victim = scratch.join("victim");
    write(&victim, "precious").unwrap();
    symlink(&victim, &draft).unwrap();
    refused(&path, "sessions.new: a new file is made under this name");
    std::fs::remove_file(&draft).unwrap();
    symlink("nowhere", &draft).unwrap();
    refused(&path, "sessions.new: a new file is made under this name");
    std::fs::remove_file(&draft).unwrap();
    create_dir(&draft).unwrap();
    refused(&path, "sessions.new: a new file is made under this name");
    std::fs::remove_dir(&draft).unwrap();
    write(&draft, "theirs").unwrap();
    chown(&draft, Some(SOMEBODY), None).unwrap();
    refused(&path, "sessions.new: a new file is made under this name");
    assert_eq!(std::fs::read_to_string(&draft).unwrap(), "theirs");
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    assert!(!path.exists());
    std::fs::remove_file(&draft).unwrap();

    make(&path);
    symlink(&victim, &draft).unwrap();
    refused(&path, "sessions.new: a new file is made under this name");
}

#[test]
fn a_new_file_that_a_crash_left_half_made_is_cleared_away() {
    let scratch = Scratch::new("half-made");
    let path = scratch.join("sessions");
    let draft = scratch.join("sessions.new");
    write(&draft, "half").unwrap();
    set_mode(&draft, 0o666);
    make(&path);
    assert_eq!(mode_of(&path), 0o600);
    assert!(!draft.exists());
}

#[test]
fn what_others_may_do_to_file_and_directory_is_warned_of_in_one_line_each() {
    let scratch = Scratch::new("open-to-others");
    let directory = scratch.join("directory");
    let path = directory.join("sessions");
    make(&path);
    for mode in [0o640, 0o604] {
        set_mode(&path, mode);
        assert_eq!(warnings(&path, "chmod 600"), 1);
    }
    set_mode(&path, 0o600);
    assert_eq!(warnings(&path, "chmod 600"), 0);

    set_mode(&directory, 0o2770);
    assert_eq!(warnings(&path, "writable by its group"), 1);
    set_mode(&directory, 0o750);
    assert_eq!(warnings(&path, "writable by its group"), 0);
    chown(&directory, Some(SOMEBODY), None).unwrap();
    assert_eq!(warnings(&path, "belongs to another user"), 1);
}
