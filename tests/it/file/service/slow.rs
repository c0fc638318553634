//! A disk on which a sync takes longer than a store call may, or says that it failed.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::super::Scratch;
use super::store_at;
use crate::sealed::fresh_seal;
use crate::support::crowd::{PASSWORD, SEALS};
use crate::support::service::binary;
use crate::support::{ADMIN_TOKEN, Ask, Service};

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
        let library = compile(scratch.path());
        let [switch, broken] = ["slow", "broken"].map(|name| scratch.path().join(name));
        let mut command = binary();
        command
            .args(["--store", &store_at(&scratch.path().join("sessions"))])
            .args(["--admin-token", ADMIN_TOKEN, "--store-timeout", "1s"])
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

    fn ended_for(&self, reason: &str) -> u64 {
        let text = Ask::get("/metrics").send(self.service.admin).body;
        let series = format!("neptun_auth_sessions_ended_total{{reason=\"{reason}\"}} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&series));
        value.unwrap().parse().unwrap()
    }

    fn next(&mut self, text: &str) -> Value {
        serde_json::from_str(&self.service.wait_for_line(text)).unwrap()
    }
}

fn compile(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("slow.c"), folder.join("slow.so"));
    std::fs::write(&source, SYNC).unwrap();
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source]);
    assert!(compiler.status().unwrap().success());
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
        fresh_seal(PASSWORD, "a-seal", "44"),
    );
    slow.slow_down();

    assert_eq!(slow.service.logout(&token).status, 500);
    let line = slow.next("session ended");
    assert_eq!(
        (&line["session"], &line["user"], &line["reason"]),
        (&one["id"], &json!("41"), &json!("logout"))
    );
    assert!(line["requestId"].is_string());
    assert_eq!(slow.service.logout(&sealed).status, 500);
    let line = slow.next("session ended");
    assert_eq!(
        (&line["user"], &line["reason"]),
        (&json!("44"), &json!("logout"))
    );
    let target = format!("/admin/sessions/{}", by_id["id"].as_str().unwrap());
    assert_eq!(slow.service.ask_admin("DELETE", &target).status, 500);
    let line = slow.next("session ended");
    assert_eq!(
        (&line["session"], &line["reason"]),
        (&by_id["id"], &json!("admin"))
    );
    let answer = slow.service.ask_admin("DELETE", "/admin/users/43/sessions");
    assert_eq!(answer.status, 500);
    let line = slow.next("sessions ended by");
    assert_eq!(
        (&line["user"], &line["reason"], &line["count"]),
        (&json!("43"), &json!("user"), &json!(3))
    );
    let ended = ["logout", "admin", "user"].map(|reason| slow.ended_for(reason));
    assert_eq!(ended, [2, 1, 3]);

    std::fs::remove_file(&slow.switch).unwrap();
    assert_eq!(slow.service.logout(&token).body, "false");
    assert_eq!(slow.service.logout(&sealed).body, "false");
    let (_, log) = slow.service.stop();
    let said = log.iter().filter(|line| line.contains("session ended\""));
    assert_eq!(said.count(), 3, "{log:#?}");
}

#[test]
fn a_login_that_timed_out_is_gone_soon_after() {
    let mut slow = Slow::start("slow-login");
    slow.slow_down();
    let ask = Service::authorized("POST", "/admin/sessions").json("{\"user\":\"42\"}");
    assert_eq!(ask.send(slow.service.admin).status, 503);
    let line = slow.next("session removed that nobody was told of");
    let target = format!("/admin/sessions/{}", line["session"].as_str().unwrap());
    assert_eq!(slow.service.ask_admin("DELETE", &target).status, 404);
    let listed = slow.service.ask_admin("GET", "/admin/users/42/sessions");
    assert_eq!(listed.json()["sessions"], json!([]));
}

#[test]
fn what_ends_while_the_service_shuts_down_is_still_said() {
    let slow = Slow::start("slow-end");
    let token = slow.service.token_of("42");
    slow.slow_down();
    assert_eq!(slow.service.logout(&token).status, 500);
    let (status, log) = slow.service.stop();
    assert!(status.success(), "{log:#?}");
    assert!(
        log.iter().any(|line| line.contains("session ended")),
        "{log:#?}"
    );
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
    assert_eq!(slow.ended_for("logout"), 0);

    std::fs::remove_file(&slow.broken).unwrap();
    let line = slow.next("session ended");
    assert_eq!(
        (&line["session"], &line["user"], &line["reason"]),
        (&one["id"], &json!("41"), &json!("logout"))
    );
    assert!(line["requestId"].is_string());
    assert_eq!(slow.ended_for("logout"), 1);
    assert_eq!(slow.service.logout(&token).body, "false");
    assert_eq!(slow.service.logout(&other).body, "true");
}

#[test]
fn a_login_that_a_failed_write_turns_out_to_have_kept_is_gone_soon_after() {
    let mut slow = Slow::start("broken-login");
    std::fs::write(&slow.broken, "").unwrap();
    let ask = Service::authorized("POST", "/admin/sessions").json("{\"user\":\"42\"}");
    assert_eq!(ask.send(slow.service.admin).status, 503);
    std::fs::remove_file(&slow.broken).unwrap();
    slow.next("session removed that nobody was told of");
    let listed = slow.service.ask_admin("GET", "/admin/users/42/sessions");
    assert_eq!(listed.json()["sessions"], json!([]));
}
