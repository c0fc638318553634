//! The real binary, started on free ports and ended with the test.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::process::{Command, ExitStatus, Output};

use serde_json::Value;

use super::{ADMIN_TOKEN, Api, Process};

/// On a port that the system chooses.
const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A running service.
pub struct Service {
    pub process: Process,
    api: Api,
}

impl Deref for Service {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

/// The binary with nothing in its environment but what the test puts there.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_neptun-auth"));
    command.env_clear();
    command
}

/// The same with an admin token.
pub fn binary_with_token() -> Command {
    let mut command = binary();
    command.args(["--admin-token", ADMIN_TOKEN]);
    command
}

/// Runs the binary to its end.
pub fn run_to_end(args: &[&str]) -> Output {
    binary().args(args).output().unwrap()
}

/// Starts with `args`, which must be refused; what it said, a line each.
pub fn refusal(args: &[&str]) -> Vec<String> {
    refused(binary().args(args))
}

/// The same from a prepared command.
pub fn refused(command: &mut Command) -> Vec<String> {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    said.lines().map(str::to_owned).collect()
}

/// Has `command` listen on ports that the system chooses.
pub fn listen_anywhere(command: &mut Command) {
    listen_at(command, ANYWHERE, ANYWHERE);
}

/// Has `command` listen on these addresses.
pub fn listen_at(command: &mut Command, public: SocketAddr, admin: SocketAddr) {
    command.args(["--listen", &public.to_string()]);
    command.args(["--admin-listen", &admin.to_string()]);
}

impl Service {
    /// With default settings and an admin token.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// With more settings.
    pub fn with(args: &[&str]) -> Self {
        let mut command = binary_with_token();
        command.args(args);
        Self::spawn(command)
    }

    /// From a prepared command; ports are chosen by the system.
    pub fn spawn(mut command: Command) -> Self {
        listen_anywhere(&mut command);
        Self::started(command)
    }

    /// From a prepared command, on these addresses.
    pub fn spawn_at(mut command: Command, public: SocketAddr, admin: SocketAddr) -> Self {
        listen_at(&mut command, public, admin);
        Self::started(command)
    }

    /// From a command that says all there is to say.
    pub fn started(command: Command) -> Self {
        let mut process = Process::start(command);
        let api = Api::named_by(&process.wait_for_line("neptun-auth is up"));
        Self { process, api }
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits for a log line that contains `text`.
    pub fn wait_for_line(&mut self, text: &str) -> String {
        self.process.wait_for_line(text)
    }

    /// The same, read as JSON.
    pub fn wait_for(&mut self, text: &str) -> Value {
        serde_json::from_str(&self.wait_for_line(text)).unwrap()
    }

    /// All it has logged by now.
    pub fn logged(&mut self) -> &[String] {
        self.process.heard()
    }

    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Ends it with SIGTERM; how it ended, and all it logged.
    pub fn stop(self) -> (ExitStatus, Vec<String>) {
        self.process.stop()
    }

    /// How it ended, and all it logged.
    pub fn wait(self) -> (ExitStatus, Vec<String>) {
        self.process.wait()
    }
}
