//! A wall clock that is set while the service runs, or was wrong when it began: nothing comes back
//! that was ended, nothing is lost that lives, and nobody is locked out.
//!
//! libfaketime stands between the service and its wall clock, and leaves the steady one alone. What
//! the seals say is the right time, as in the requests of a web app on another machine.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::json;

use crate::sealed::mint;
use crate::sealed::{PASSWORD, now_ms, payload, seal_of};
use crate::support::Scratch;
use crate::support::start::{on_every_store, on_stores};
use crate::support::{Ask, Service, Start};

on_every_store! {
    what_was_ended_stays_ended_and_what_lives_lives_when_the_clock_jumps_ahead_and_back,
    what_is_ended_while_the_clock_is_ahead_stays_ended,
    a_log_out_everywhere_while_the_clock_is_ahead_reaches_all_seals_and_bars_no_later_login,
    a_log_out_everywhere_by_a_clock_that_was_just_put_right_reaches_all_seals,
    a_clock_that_was_ahead_from_the_start_bars_logins_until_the_next_log_out_everywhere,
    a_login_by_a_clock_that_was_set_back_is_none_of_those_before_sessions_since,
}

mod after_a_restart {
    use super::a_clock_that_jumped_ahead_and_back_bars_no_later_login;
    use super::a_clock_that_was_ahead_bars_logins_until_the_next_log_out_everywhere;

    super::on_stores! { [file redis valkey] [
        a_clock_that_was_ahead_bars_logins_until_the_next_log_out_everywhere
        a_clock_that_jumped_ahead_and_back_bars_no_later_login
    ] }
}

mod at_its_cap {
    use super::a_full_store_forgets_nothing_for_a_clock_that_jumps_ahead;

    super::on_stores! { [memory file] [
        a_full_store_forgets_nothing_for_a_clock_that_jumps_ahead
    ] }
}

const DAY: i64 = 24 * 60 * 60 * 1_000;

/// The wall clock of one service.
struct WallClock {
    scratch: Scratch,
}

impl WallClock {
    /// One that is off by so much, such as `+8d`.
    fn showing(name: &str, offset: &str) -> Self {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or_default().replace("::", "-");
        let clock = Self {
            scratch: Scratch::new(&format!("clock-{test}-{name}")),
        };
        clock.set(offset);
        clock
    }

    fn set(&self, offset: &str) {
        // In one step: the service reads it at every look at its clock.
        let new = self.scratch.join("new");
        fs::write(&new, offset).unwrap();
        fs::rename(new, self.file()).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.scratch.join("offset")
    }

    /// A service that goes by this clock.
    fn service(&self, start: &Start, args: &[&str]) -> Service {
        let mut command = start.command();
        command.args(["--sealed-password", PASSWORD]).args(args);
        command
            .env("LD_PRELOAD", libfaketime())
            .env("FAKETIME_TIMESTAMP_FILE", self.file())
            .env("FAKETIME_NO_CACHE", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
        let service = Service::spawn(command);
        service.until_ready();
        service
    }
}

fn libfaketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap();
    folders
        .map(|folder| folder.unwrap().path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.is_file())
        .expect("libfaketime is not installed; tests/run installs it")
}

/// A service whose clock is right.
fn right(start: &Start) -> Service {
    start.with(&["--sealed-password", PASSWORD])
}

/// A seal of `user`, made so many milliseconds after now.
fn sealed(id: &str, user: i64, after: i64) -> String {
    seal_of(&made_after(id, user, after))
}

fn made_after(id: &str, user: i64, after: i64) -> String {
    payload(id, &json!({ "id": user }), now_ms() + after)
}

fn what_was_ended_stays_ended_and_what_lives_lives_when_the_clock_jumps_ahead_and_back(
    start: &Start,
) {
    let clock = WallClock::showing("ahead", "+0");
    let service = clock.service(start, &[]);
    let (revoked, marked, live) = (
        sealed("revoked", 5, 0),
        sealed("marked", 6, 0),
        sealed("live", 5, 0),
    );
    let token = service.token_of("5");
    assert_eq!(service.logout(&revoked).body, "true");
    service.revoke_all("6");

    clock.set("+8d");
    for value in [&revoked, &marked, &live, &token] {
        assert!(!service.is_live(value));
    }
    // A login, which tidies up among the sessions of its user.
    service.token_of("5");

    clock.set("+0");
    for value in [&revoked, &marked] {
        assert!(!service.is_live(value), "it came back");
    }
    for value in [&live, &token] {
        assert!(service.is_live(value), "it was lost");
    }
    assert_eq!(service.revoke_all("5"), 2);
    assert!(!service.is_live(&token) && !service.is_live(&live));
}

fn what_is_ended_while_the_clock_is_ahead_stays_ended(start: &Start) {
    let clock = WallClock::showing("ended", "+0");
    let service = clock.service(start, &[]);
    let (token, seal) = (service.token_of("5"), sealed("seal", 5, 0));
    // h3 can give seals an end of their own as well.
    let short = mint::seal(PASSWORD, &made_after("short", 5, 0), Some(now_ms() + DAY));
    clock.set("+8d");
    for value in [&token, &seal, &short] {
        assert!(!service.is_live(value));
        assert_eq!(service.logout(value).body, "false");
    }
    clock.set("+0");
    for value in [&token, &seal, &short] {
        assert!(!service.is_live(value), "it came back");
        assert_eq!(service.logout(value).body, "false");
    }
}

fn a_log_out_everywhere_while_the_clock_is_ahead_reaches_all_seals_and_bars_no_later_login(
    start: &Start,
) {
    let clock = WallClock::showing("everywhere", "+0");
    let service = clock.service(start, &[]);
    let before = sealed("before", 5, 0);
    clock.set("+3d");
    // Made by a web app on the same machine.
    let meanwhile = sealed("meanwhile", 5, 3 * DAY);
    assert!(service.is_live(&before) && service.is_live(&meanwhile));
    service.revoke_all("5");
    assert!(!service.is_live(&before) && !service.is_live(&meanwhile));
    clock.set("+0");
    assert!(!service.is_live(&before));
    let login = sealed("login", 5, 1);
    assert!(service.is_live(&login));
    service.revoke_all("5");
    assert!(!service.is_live(&login));
    assert!(service.is_live(&sealed("next", 5, 1)));
}

fn a_log_out_everywhere_by_a_clock_that_was_just_put_right_reaches_all_seals(start: &Start) {
    let clock = WallClock::showing("booted", "-20000d");
    let service = clock.service(start, &[]);
    let (old, young) = (sealed("old", 5, -DAY), sealed("young", 5, 0));
    clock.set("+0");
    assert!(service.is_live(&old) && service.is_live(&young));
    service.revoke_all("5");
    assert!(!service.is_live(&old) && !service.is_live(&young));
    assert!(service.is_live(&sealed("login", 5, 1)));
}

fn a_clock_that_was_ahead_from_the_start_bars_logins_until_the_next_log_out_everywhere(
    start: &Start,
) {
    let clock = WallClock::showing("started", "+3d");
    let service = clock.service(start, &[]);
    service.revoke_all("5");
    clock.set("+0");
    next_log_out_everywhere_lets_logins_in(service);
}

fn a_clock_that_was_ahead_bars_logins_until_the_next_log_out_everywhere(start: &Start) {
    let clock = WallClock::showing("before", "+3d");
    let service = clock.service(start, &[]);
    service.revoke_all("5");
    service.stop();
    next_log_out_everywhere_lets_logins_in(right(start));
}

fn next_log_out_everywhere_lets_logins_in(mut service: Service) {
    let barred = sealed("barred", 5, 1);
    assert!(!service.is_live(&barred));
    service.revoke_all("5");
    let line = service.wait_for_line("by a clock that was ahead");
    assert!(
        line.contains(r#""level":"WARN""#) && line.contains(r#""user":"5""#),
        "{line}"
    );
    assert!(!service.is_live(&barred));
    assert!(service.is_live(&sealed("login", 5, 1)));
}

fn a_clock_that_jumped_ahead_and_back_bars_no_later_login(start: &Start) {
    let clock = WallClock::showing("between", "+0");
    let service = clock.service(start, &[]);
    let before = sealed("before", 5, 0);
    clock.set("+3d");
    service.revoke_all("5");
    service.stop();
    let service = right(start);
    assert!(!service.is_live(&before));
    assert!(service.is_live(&sealed("login", 5, 1)));
}

fn a_full_store_forgets_nothing_for_a_clock_that_jumps_ahead(start: &Start) {
    let clock = WallClock::showing("full", "+0");
    let service = clock.service(start, &["--max-sessions", "3"]);
    let (revoked, marked) = (sealed("revoked", 5, 0), sealed("marked", 6, 0));
    assert_eq!(service.logout(&revoked).body, "true");
    service.revoke_all("6");
    let token = service.token_of("5");
    let login = || Ask::login("7").send(service.admin).status;
    clock.set("+8d");
    // It looks everywhere for room.
    assert_eq!(login(), 503);
    clock.set("+0");
    assert!(!service.is_live(&revoked) && !service.is_live(&marked));
    assert!(service.is_live(&token));
    assert_eq!(service.logout(&token).body, "true");
    assert_eq!(login(), 201);
}

fn a_login_by_a_clock_that_was_set_back_is_none_of_those_before_sessions_since(start: &Start) {
    let now = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    let clock = WallClock::showing("back", "+0");
    let service = clock.service(start, &["--sessions-since", &now]);
    clock.set("-1h");
    assert!(service.is_live(&service.token_of("5")));
}
