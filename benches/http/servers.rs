//! Servers as processes, ended with the benchmark.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};

use super::load::{Load, Slice};

const ADMIN_TOKEN: &str = "an-admin-token-for-benchmarks";

/// A server under load.
pub struct Server {
    child: Child,
    pub public: SocketAddr,
    admin: SocketAddr,
}

/// Keeps this thread, and those it starts, on these cores.
pub fn pin(to: &[usize]) {
    let mut cores = CpuSet::new();
    for core in to {
        cores.set(*core);
    }
    sched_setaffinity(None, &cores).unwrap();
}

/// The processor time that the process of this number has used up to now, in user space and in
/// the system for it.
pub fn processor_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    let ticks = |place| -> u64 {
        after_name
            .split_whitespace()
            .nth(place)
            .unwrap()
            .parse()
            .unwrap()
    };
    Duration::from_millis((ticks(11) + ticks(12)) * 1000 / rustix::param::clock_ticks_per_second())
}

impl Server {
    /// The service with these settings under another program; its log goes where a log collector
    /// would read it.
    pub fn service(wrapper: &[&str], settings: &[&str]) -> Self {
        let (public, admin) = (free(), free());
        let mut command = wrapped(wrapper, env!("CARGO_BIN_EXE_neptun-auth"));
        command.args([
            "--listen",
            &public.to_string(),
            "--admin-listen",
            &admin.to_string(),
        ]);
        command.args(["--admin-token", ADMIN_TOKEN, "--log-format", "json"]);
        command.args(settings);
        Self::start(command, public, admin)
    }

    /// This benchmark's own binary as a server: `flag` and an address make it one.
    pub fn myself(wrapper: &[&str], flag: &str) -> Self {
        let public = free();
        let myself = std::env::current_exe().unwrap();
        let mut command = wrapped(wrapper, myself.to_str().unwrap());
        command.args([flag, &public.to_string()]);
        Self::start(command, public, public)
    }

    fn start(mut command: Command, public: SocketAddr, admin: SocketAddr) -> Self {
        let log =
            std::fs::File::create(std::env::temp_dir().join("neptun-auth-bench.log")).unwrap();
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let server = Self {
            child,
            public,
            admin,
        };
        let begun = Instant::now();
        while [public, admin]
            .iter()
            .any(|address| TcpStream::connect(address).is_err())
        {
            assert!(begun.elapsed() < Duration::from_mins(1), "it did not start");
            std::thread::yield_now();
        }
        server
    }

    /// Tokens of `count` new sessions, two to a user.
    pub fn issue(&self, count: usize) -> Vec<String> {
        let users = (0..count).map(|number| number / 2);
        let bodies = users.map(|user| format!(r#"{{"user":"{user:08}"}}"#));
        self.issue_each(&bodies.collect::<Vec<_>>(), 64).0
    }

    /// Tokens of a new session for each of these requests' bodies, and how the asking went.
    pub fn issue_each(&self, bodies: &[String], connections: usize) -> (Vec<String>, Slice) {
        let requests = bodies.iter().map(|body| {
            let length = body.len();
            let head = format!(
                "POST /admin/sessions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                 authorization: Bearer {ADMIN_TOKEN}\r\ncontent-length: {length}\r\n\r\n"
            );
            (head + body).into_bytes()
        });
        let load = Load::new(self.admin).with_connections(connections.min(bodies.len()));
        let requests: Vec<Vec<u8>> = requests.collect();
        let (answers, slice) = load.collect(&requests, b"HTTP/1.1 201");
        (
            answers.iter().map(|answer| token_in(answer)).collect(),
            slice,
        )
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The memory it holds, in megabytes.
    pub fn resident_megabytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes: u64 = line
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        kibibytes * 1024 / 1_000_000
    }

    /// Ends it as an operator would, so that a profiler writes what it has.
    pub fn stop(mut self) {
        let pid = self.child.id().to_string();
        Command::new("kill")
            .args(["-s", "TERM", &pid])
            .status()
            .unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command, under `wrapper` if that is not empty.
fn wrapped(wrapper: &[&str], program: &str) -> Command {
    let mut words = wrapper.iter().copied().chain([program]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    command
}

/// An address nobody listens on.
pub fn free() -> SocketAddr {
    let probe = TcpListener::bind("127.0.0.1:0").unwrap();
    probe.local_addr().unwrap()
}

fn token_in(answer: &[u8]) -> String {
    let text = std::str::from_utf8(answer).unwrap();
    let token = text.split("\"token\":\"").nth(1).unwrap();
    token.split('"').next().unwrap().to_owned()
}
