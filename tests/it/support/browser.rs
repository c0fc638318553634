//! Chromium, driven over `WebDriver`.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Connection, Process, Scratch, tool};

/// A browser takes its time to start on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Quiet, and without what containers do not allow.
pub const FLAGS: &str = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
                         --disable-background-networking --disable-component-update \
                         --disable-sync --disable-dev-shm-usage";

/// A fresh, headless browser; ended with the test.
pub struct Browser {
    _driver: Process,
    address: SocketAddr,
    session: String,
    /// The browser's process, once there is one.
    pid: Option<u64>,
    profile: Scratch,
}

impl Browser {
    pub fn start() -> Self {
        let mut driver = Command::new(tool("chromedriver"));
        driver.arg("--port=0");
        let mut driver = Process::start(driver);
        let line = driver.wait_for_line("started successfully on port ");
        let port = line.trim_end_matches('.').rsplit_once(' ').unwrap().1;
        let mut browser = Self {
            _driver: driver,
            address: SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap())),
            session: String::new(),
            pid: None,
            profile: Scratch::new("chromium"),
        };
        let profile = format!("--user-data-dir={}", browser.profile.display());
        let args: Vec<&str> = FLAGS.split(' ').chain([&*profile]).collect();
        // Cookies of other sites, which this Chromium blocks unless told not to.
        let prefs = json!({ "profile.cookie_controls_mode": 0 });
        let options = json!({ "binary": tool("chromium"), "args": args, "prefs": prefs });
        let wanted =
            json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } });
        let session = browser.call("POST", "/session", &wanted);
        browser.pid = session["capabilities"]["goog:processID"].as_u64();
        browser.session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        browser
    }

    /// Sends a command; its value.
    fn call(&self, method: &str, command: &str, body: &Value) -> Value {
        let mut connection = Connection::open(self.address);
        connection
            .stream()
            .set_read_timeout(Some(PATIENCE))
            .unwrap();
        let (target, body) = (format!("{}{command}", self.session), body.to_string());
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        connection.write(format!("{head}{body}").as_bytes());
        let answer = connection.answer_to(method);
        assert_eq!(answer.status, 200, "{command}: {answer:?}");
        serde_json::from_str::<Value>(&answer.body).unwrap()["value"].take()
    }

    /// Ends the browser; answers when it has.
    fn quit(&self) -> io::Result<usize> {
        let mut driver = TcpStream::connect(self.address)?;
        driver.set_read_timeout(Some(PATIENCE))?;
        let (session, host) = (&self.session, self.address);
        write!(driver, "DELETE {session} HTTP/1.1\r\nhost: {host}\r\n\r\n")?;
        driver.read(&mut [0])
    }

    pub fn open(&self, url: &str) {
        self.call("POST", "/url", &json!({ "url": url }));
    }

    /// Back to where it came from.
    pub fn back(&self) {
        self.call("POST", "/back", &json!({}));
    }

    /// Gives it a cookie of the page's host.
    pub fn set_cookie(&self, name: &str, value: &str) {
        let cookie = json!({ "name": name, "value": value, "path": "/", "httpOnly": true });
        self.call("POST", "/cookie", &json!({ "cookie": cookie }));
    }

    /// Runs the body of an async function in the page; what it returns.
    pub fn run(&self, script: &str) -> Value {
        let script = format!(
            "const done = arguments[0];\n\
             (async () => {{ {script} }})().then(done, error => done(String(error)))"
        );
        let body = json!({ "script": script, "args": [] });
        self.call("POST", "/execute/async", &body)
    }

    /// Runs the body of a function that waits for nothing, and may lead to another page; what it
    /// returns.
    pub fn run_at_once(&self, script: &str) -> Value {
        let body = json!({ "script": script, "args": [] });
        self.call("POST", "/execute/sync", &body)
    }

    /// The names of the cookies that the page's host would get.
    pub fn cookies(&self) -> Vec<String> {
        let cookies = self.call("GET", "/cookie", &json!({}));
        let cookies = cookies.as_array().unwrap().iter();
        cookies
            .map(|cookie| cookie["name"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser if asked; whatever went wrong, both are ended.
        let _ = self.quit();
        if let Some(pid) = self.pid {
            let mut kill = Command::new("kill");
            let _ = kill.args(["-s", "KILL", &pid.to_string()]).output();
        }
    }
}
