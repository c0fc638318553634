//! The real binary, started on free ports and ended with the test.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::Value;

use super::{Answer, Ask};

pub const ADMIN_TOKEN: &str = "an-admin-token-for-tests";

/// How long a start may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// On a port that the system chooses.
const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A running service.
pub struct Service {
    child: Child,
    /// Behind a lock only so that threads of a test can share the service.
    log: Mutex<Receiver<String>>,
    seen: Vec<String>,
    pub public: SocketAddr,
    pub admin: SocketAddr,
}

/// The binary with nothing in its environment but what the test puts there.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_neptun-auth"));
    command.env_clear();
    command
}

/// Runs the binary to its end; for starts that must fail.
pub fn run_to_end(args: &[&str]) -> Output {
    binary().args(args).output().unwrap()
}

impl Service {
    /// With default settings and an admin token.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// With more settings.
    pub fn with(args: &[&str]) -> Self {
        let mut command = binary();
        command.args(["--admin-token", ADMIN_TOKEN]).args(args);
        Self::spawn(command)
    }

    /// From a prepared command; ports are chosen by the system.
    pub fn spawn(command: Command) -> Self {
        Self::spawn_at(command, ANYWHERE, ANYWHERE)
    }

    /// From a prepared command, on these addresses.
    pub fn spawn_at(mut command: Command, public: SocketAddr, admin: SocketAddr) -> Self {
        command.args(["--listen", &public.to_string()]);
        command.args(["--admin-listen", &admin.to_string()]);
        Self::started(command)
    }

    /// From a command that says all there is to say.
    pub fn started(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (lines, log) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
        let mut service = Self {
            child,
            log: Mutex::new(log),
            seen: Vec::new(),
            public: ANYWHERE,
            admin: ANYWHERE,
        };
        let up = service.wait_for_line("neptun-auth is up");
        let up: Value = serde_json::from_str(&up).unwrap();
        let address = |name: &str| up[name].as_str().unwrap().parse().unwrap();
        service.public = address("listen");
        service.admin = address("admin_listen");
        service
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a log line that contains `text`.
    pub fn wait_for_line(&mut self, text: &str) -> String {
        loop {
            let line = self.log.get_mut().unwrap().recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no line with {text:?} in {:#?}", self.seen));
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// All it has logged by now.
    pub fn logged(&mut self) -> &[String] {
        self.seen.extend(self.log.get_mut().unwrap().try_iter());
        &self.seen
    }

    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.unwrap().success());
    }

    /// Ends it with SIGTERM; how it ended, and all it logged.
    pub fn stop(self) -> (ExitStatus, Vec<String>) {
        self.signal("TERM");
        self.wait()
    }

    /// How it ended, and all it logged.
    pub fn wait(mut self) -> (ExitStatus, Vec<String>) {
        let status = self.child.wait().unwrap();
        self.seen.extend(self.log.get_mut().unwrap().iter());
        (status, std::mem::take(&mut self.seen))
    }

    /// A request to `/admin/…` with the right token.
    pub fn ask_admin(&self, method: &str, target: &str) -> Answer {
        Self::authorized(method, target).send(self.admin)
    }

    /// A request to the admin listener with the right token, to be completed.
    pub fn authorized(method: &str, target: &str) -> Ask {
        Ask::new(method, target).header("authorization", format!("Bearer {ADMIN_TOKEN}"))
    }

    /// Issues a session by a request body; the answer's JSON.
    pub fn issue_as(&self, body: &Value) -> Value {
        let ask = Self::authorized("POST", "/admin/sessions").json(&body.to_string());
        let answer = ask.send(self.admin);
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }

    /// Issues a session to `user`; its token.
    pub fn token_of(&self, user: &str) -> String {
        let issued = self.issue_as(&serde_json::json!({ "user": user }));
        issued["token"].as_str().unwrap().to_owned()
    }

    pub fn logout(&self, token: &str) -> Answer {
        Ask::post("/api/auth/logout")
            .session(token)
            .send(self.public)
    }

    pub fn check(&self, token: &str) -> Answer {
        Ask::get("/api/auth/check").session(token).send(self.public)
    }

    /// Whether the token's session is live.
    pub fn is_live(&self, token: &str) -> bool {
        match self.check(token).status {
            204 => true,
            401 => false,
            other => panic!("check answered {other}"),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already; either way nothing is left running.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            self.seen.extend(self.log.get_mut().unwrap().try_iter());
            println!("log of the service: {:#?}", self.seen);
        }
        if let Some(mut rest) = self.child.stdout.take() {
            let _ = rest.read(&mut [0]);
        }
    }
}
