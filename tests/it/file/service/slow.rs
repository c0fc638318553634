//! A disk on which a sync takes longer than a store call may, or says that it failed.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::super::Scratch;
use super::store_at;
use crate::sealed;
use crate::support::crowd::SEALS;
use crate::support::service::binary_with_token;
use crate::support::{Ask, Service, lines_with, run};

/// Makes each sync take 1.5 s while there is a file of the name in `SLOW`, and say that it failed
/// when it did not while there is one of the name in `BROKEN`.
const SYNC: &str = "
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static int outcome(int done) {
    if (access(getenv(\"BROKEN\"), F_OK) != 0) return done;
    errno = EIO;
    return -1;
}
int fdatasync(int fd) {
    if (access(getenv(\"SLOW\"), F_OK) == 0) usleep(1500000);
    return outcome(syscall(SYS_fdatasync, fd));
}
int fsync(int fd) {
    return outcome(syscall(SYS_fsync, fd));
}
";

struct Slow {
    _scratch: Scratch,
    switch: PathBuf,
    broken: PathBuf,
    service: Service,
}

impl Slow {
    fn start(name: &str) -> Self {
        let scratch = Scratch::new(name);
        let library = compile(&scratch);
        let [switch, broken] = ["slow", "broken"].map(|name| scratch.join(name));
        let mut command = binary_with_token();
        command
            .args(["--store", &store_at(&scratch.join("sessions"))])
            .args(["--store-timeout", "1s"])
            .args(SEALS)
            .env("LD_PRELOAD", library)
            .env("SLOW", &switch)
            .env("BROKEN", &broken);
        Self {
            switch,
            broken,
            service: Service::spawn(command),
            _scratch: scratch,
        }
    }

    /// From now on.
    fn slow_down(&self) {
        std::fs::write(&self.switch, "").unwrap();
    }
}

fn compile(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("slow.c"), folder.join("slow.so"));
    std::fs::write(&source, SYNC).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]);
    run(compiler.args([&library, &source]));
    library
}

#[test]
fn what_ends_after_the_store_timeout_is_said_and_counted() {
    let mut slow = Slow::start("slow-ends");
    let one = slow.service.issue_as(&json!({ "user": "41" }));
    let by_id = slow.service.issue_as(&json!({ "user": "42" }));
    for _ in 0..3 {
        slow.service.token_of("43");
    }
    let (token, sealed) = (
        one["token"].as_str().unwrap().to_owned(),
        sealed::sealed("a-seal", "44"),
    );
    slow.slow_down();

    assert_eq!(slow.service.logout(&token).status, 500);
    let line = slow.service.wait_for("session ended");
    assert_eq!(
        (&line["session"], &line["user"], &line["reason"]),
        (&one["id"], &json!("41"), &json!("logout"))
    );
    assert!(line["requestId"].is_string());
    assert_eq!(slow.service.logout(&sealed).status, 500);
    let line = slow.service.wait_for("session ended");
    assert_eq!(
        (&line["user"], &line["reason"]),
        (&json!("44"), &json!("logout"))
    );
    let ask = Ask::revoke(by_id["id"].as_str().unwrap());
    assert_eq!(ask.send(slow.service.admin).status, 500);
    let line = slow.service.wait_for("session ended");
    assert_eq!(
        (&line["session"], &line["reason"]),
        (&by_id["id"], &json!("admin"))
    );
    let ask = Ask::revoke_all("43");
    assert_eq!(ask.send(slow.service.admin).status, 500);
    let line = slow.service.wait_for("sessions ended by");
    assert_eq!(
        (&line["user"], &line["reason"], &line["count"]),
        (&json!("43"), &json!("user"), &json!(3))
    );
    let ended = ["logout", "admin", "user"].map(|reason| slow.service.ended_for(reason));
    assert_eq!(ended, [2, 1, 3]);

    std::fs::remove_file(&slow.switch).unwrap();
    assert_eq!(slow.service.logout(&token).body, "false");
    assert_eq!(slow.service.logout(&sealed).body, "false");
    let (_, log) = slow.service.stop();
    let said = lines_with(&log, &["session ended\""]);
    assert_eq!(said.len(), 3, "{log:#?}");
}

#[test]
fn a_login_that_timed_out_is_gone_soon_after() {
    let mut slow = Slow::start("slow-login");
    slow.slow_down();
    assert_eq!(Ask::login("42").send(slow.service.admin).status, 503);
    let line = slow
        .service
        .wait_for("session removed that nobody was told of");
    let ask = Ask::revoke(line["session"].as_str().unwrap());
    assert_eq!(ask.send(slow.service.admin).status, 404);
    assert!(slow.service.list("42").is_empty());
}

#[test]
fn what_ends_while_the_service_shuts_down_is_still_said() {
    let slow = Slow::start("slow-end");
    let token = slow.service.token_of("42");
    slow.slow_down();
    assert_eq!(slow.service.logout(&token).status, 500);
    let (status, log) = slow.service.stop();
    assert!(status.success(), "{log:#?}");
    assert_eq!(lines_with(&log, &["session ended"]).len(), 1, "{log:#?}");
}

#[test]
fn what_a_failed_write_turns_out_to_have_ended_is_said_and_counted() {
    let mut slow = Slow::start("broken-ends");
    let one = slow.service.issue_as(&json!({ "user": "41" }));
    let token = one["token"].as_str().unwrap().to_owned();
    let other = slow.service.token_of("42");
    std::fs::write(&slow.broken, "").unwrap();
    assert_eq!(slow.service.logout(&token).status, 500);
    assert_eq!(slow.service.logout(&other).status, 500);
    assert_eq!(slow.service.ended_for("logout"), 0);

    std::fs::remove_file(&slow.broken).unwrap();
    let line = slow.service.wait_for("session ended");
    assert_eq!(
        (&line["session"], &line["user"], &line["reason"]),
        (&one["id"], &json!("41"), &json!("logout"))
    );
    assert!(line["requestId"].is_string());
    assert_eq!(slow.service.ended_for("logout"), 1);
    assert_eq!(slow.service.logout(&token).body, "false");
    assert_eq!(slow.service.logout(&other).body, "true");
}

#[test]
fn a_login_that_a_failed_write_turns_out_to_have_kept_is_gone_soon_after() {
    let mut slow = Slow::start("broken-login");
    std::fs::write(&slow.broken, "").unwrap();
    assert_eq!(Ask::login("42").send(slow.service.admin).status, 503);
    std::fs::remove_file(&slow.broken).unwrap();
    slow.service
        .wait_for("session removed that nobody was told of");
    assert!(slow.service.list("42").is_empty());
}
