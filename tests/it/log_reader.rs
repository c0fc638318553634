//! Whoever reads stderr may be slow, stall, or be gone: the service goes on, no line is lost to a
//! reader that reads, and those that are lost are counted.

use std::fs::OpenOptions;
use std::io::{self, BufRead as _, BufReader, PipeReader, Read as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::ports::free_address;
use crate::support::service::{binary, binary_with_token, listen_anywhere, listen_at};
use crate::support::{Api, Ask, Connection, Process, wait_until};

/// Past what a pipe and the service's buffer take, 4 MiB, in lines of some 600 bytes.
const ENOUGH_TO_LOSE: usize = 5_000;

/// More than a pipe holds, in bytes: once so much is read, the service has gone on writing.
const MORE_THAN_A_PIPE: usize = 1 << 20;

/// A service whose log nobody reads but the test.
struct Unread {
    process: Process,
    log: Option<BufReader<PipeReader>>,
    /// How many bytes of it have been read.
    read: Arc<AtomicUsize>,
    api: Api,
}

impl Unread {
    fn start() -> Self {
        let mut command = binary_with_token();
        listen_anywhere(&mut command);
        let (log, writer) = io::pipe().unwrap();
        command.stderr(writer);
        let process = Process::heard_over(io::empty(), command);
        let mut log = BufReader::new(log);
        let mut first = String::new();
        log.read_line(&mut first).unwrap();
        Self {
            process,
            log: Some(log),
            read: Arc::default(),
            api: Api::named_by(&first),
        }
    }

    /// Begins to read, so much at a time with such pauses; gives all lines once there are no more.
    fn read(&mut self, at_a_time: usize, pause: Duration) -> JoinHandle<Vec<Value>> {
        let (mut log, total) = (self.log.take().unwrap(), Arc::clone(&self.read));
        std::thread::spawn(move || {
            let (mut text, mut some) = (Vec::new(), vec![0; at_a_time]);
            loop {
                match log.read(&mut some).unwrap() {
                    0 => break,
                    read => text.extend_from_slice(&some[..read]),
                }
                total.store(text.len(), Ordering::Relaxed);
                std::thread::sleep(pause);
            }
            let lines = text.lines().map(Result::unwrap);
            lines
                .map(|line| serde_json::from_str(&line).unwrap())
                .collect()
        })
    }

    /// Logs so many people in and out, each of which leaves a line; the longest that took.
    fn log_in_and_out(&self, people: usize) -> Duration {
        let mut admin = Connection::open(self.api.admin);
        let mut public = Connection::open(self.api.public);
        let times = (0..people).map(|_| {
            let token = log_in(&mut admin);
            let begun = Instant::now();
            let ask = Ask::logout(&token).header("x-request-id", "r".repeat(128));
            assert_eq!(public.ask(&ask).body, "true");
            begun.elapsed()
        });
        times.max().unwrap()
    }

    fn lines_lost(&self) -> u64 {
        let lost = self.api.metric("neptun_auth_log_lines_lost_total");
        lost.unwrap()
    }

    /// Ends it with SIGTERM; its exit code, and how long that took.
    fn stop(self) -> (Option<i32>, Duration) {
        let begun = Instant::now();
        let (status, _) = self.process.stop();
        (status.code(), begun.elapsed())
    }
}

/// A user whose lines are long.
fn user() -> String {
    "u".repeat(256)
}

fn log_in(admin: &mut Connection) -> String {
    let ask = Ask::login(&user());
    let issued = admin.ask(&ask.header("x-request-id", "r".repeat(128)));
    issued.json()["token"].as_str().unwrap().to_owned()
}

fn count(lines: &[Value], message: &str) -> usize {
    lines
        .iter()
        .filter(|line| line["message"] == message)
        .count()
}

/// What the lines say about lost ones.
fn said_to_be_lost(lines: &[Value]) -> u64 {
    lines.iter().filter_map(|line| line["lost"].as_u64()).sum()
}

#[test]
fn nobody_waits_for_a_reader_that_has_stalled_and_what_is_lost_is_counted_to_the_line() {
    let mut service = Unread::start();
    assert_eq!(service.lines_lost(), 0);
    let meanwhile = service.log_in_and_out(ENOUGH_TO_LOSE);
    let lost = service.lines_lost();
    assert!(lost > 0, "the buffer is not full");

    let reader = service.read(1024 * 1024, Duration::ZERO);
    wait_until("the service has seen that it is read again", || {
        service.read.load(Ordering::Relaxed) > MORE_THAN_A_PIPE
    });
    let afterwards = service.log_in_and_out(500);
    let (code, _) = service.stop();
    let lines = reader.join().unwrap();
    assert_eq!(code, Some(0));
    let written = count(&lines, "session issued") + count(&lines, "session ended");
    let all = 2 * (ENOUGH_TO_LOSE as u64 + 500);
    assert_eq!(written as u64 + said_to_be_lost(&lines), all);
    assert_eq!(said_to_be_lost(&lines), lost, "some were lost to a reader");
    assert_eq!(count(&lines, "neptun-auth is down"), 1);
    for longest in [meanwhile, afterwards] {
        assert!(longest < Duration::from_millis(400), "{longest:?}");
    }
}

#[test]
fn a_slow_reader_loses_no_line_of_a_large_revocation() {
    const SESSIONS: usize = 10_000;
    let mut service = Unread::start();
    let reader = service.read(16 * 1024, Duration::from_millis(5));
    let mut admin = Connection::open(service.api.admin);
    for _ in 0..SESSIONS {
        log_in(&mut admin);
    }
    let ask = Ask::revoke_all(&user()).header("x-request-id", "r".repeat(128));
    assert_eq!(admin.ask(&ask).json()["revoked"], SESSIONS);
    // At once, with megabytes still to be read.
    let (code, _) = service.stop();
    let lines = reader.join().unwrap();
    assert_eq!(code, Some(0));
    assert_eq!(count(&lines, "session ended"), SESSIONS);
    assert_eq!(said_to_be_lost(&lines), 0);
    assert_eq!(count(&lines, "neptun-auth is down"), 1);
}

#[test]
fn a_reader_that_has_stalled_does_not_hold_up_the_end() {
    let service = Unread::start();
    service.log_in_and_out(300);
    let (code, took) = service.stop();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(3), "{took:?}");
}

/// A stderr to which nothing can be written.
fn unwritable() -> [Stdio; 2] {
    let (reader, gone) = std::io::pipe().unwrap();
    drop(reader);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    [Stdio::from(gone), Stdio::from(full)]
}

#[test]
fn a_service_runs_and_ends_in_order_though_nothing_can_be_logged() {
    for stderr in unwritable() {
        let (public, admin) = (free_address(), free_address());
        let mut command = binary_with_token();
        listen_at(&mut command, public, admin);
        command.stderr(stderr);
        let mut process = Process::heard_over(io::empty(), command);
        process.wait_until_up(|| {
            let answer = Ask::get("/readyz").try_send(admin);
            answer.is_some_and(|answer| answer.status == 200)
        });
        let service = Unread {
            process,
            log: None,
            read: Arc::default(),
            api: Api { public, admin },
        };
        service.log_in_and_out(10);
        wait_until("the lost lines are counted", || service.lines_lost() >= 22);
        // A line that cannot be written is counted once, however often others are tried.
        assert_eq!(service.lines_lost(), 22);
        let (code, took) = service.stop();
        assert_eq!(code, Some(0));
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
}

#[test]
fn exit_codes_do_not_depend_on_whether_anything_can_be_said() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("--listen={}", taken.local_addr().unwrap());
    let nobody = format!("--admin-listen={}", free_address());
    let cases: [(&[&str], i32); 7] = [
        (&["--listen=nowhere", "--store=nothing"], 2),
        (&["--no-such-flag"], 2),
        (&[&taken, "--admin-listen=127.0.0.1:0"], 2),
        (&["healthcheck", &nobody], 1),
        (&["healthcheck", "--admin-listen=nowhere"], 1),
        (&["--help"], 0),
        (&["--version"], 0),
    ];
    for (args, code) in cases {
        let out = unwritable().into_iter().zip(unwritable());
        for (stdout, stderr) in out {
            let status = binary().args(args).stdout(stdout).stderr(stderr).status();
            assert_eq!(status.unwrap().code(), Some(code), "{args:?}");
        }
        let closed = Command::new("/bin/sh")
            .args(["-c", "exec \"$0\" \"$@\" >&- 2>&-"])
            .env_clear()
            .arg(binary().get_program())
            .args(args)
            .status();
        assert_eq!(closed.unwrap().code(), Some(code), "{args:?}");
    }
}
