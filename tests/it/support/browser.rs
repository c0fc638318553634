//! Chromium, driven over `WebDriver`.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Connection, tool};

/// A browser takes its time to start on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// A fresh, headless browser; ended with the test.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    /// The browser's process, once there is one.
    pid: Option<u64>,
    profile: PathBuf,
}

impl Browser {
    pub fn start() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let mut driver = Command::new(tool("chromedriver"))
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        let name = format!(
            "chromium-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::SeqCst)
        );
        let mut browser = Self {
            driver,
            address: SocketAddr::from(([127, 0, 0, 1], port.unwrap())),
            session: String::new(),
            pid: None,
            profile: Path::new(env!("CARGO_TARGET_TMPDIR")).join(name),
        };
        // Quiet, and without what containers do not allow.
        let flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
                     --disable-background-networking --disable-component-update --disable-sync \
                     --disable-dev-shm-usage";
        let profile = format!("--user-data-dir={}", browser.profile.display());
        let args: Vec<&str> = flags.split(' ').chain([&*profile]).collect();
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

    /// Runs the body of an async function in the page; what it returns.
    pub fn run(&self, script: &str) -> Value {
        let script = format!(
            "const done = arguments[0];\n\
             (async () => {{ {script} }})().then(done, error => done(String(error)))"
        );
        let body = json!({ "script": script, "args": [] });
        self.call("POST", "/execute/async", &body)
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
        let processes = self.pid.into_iter().chain([u64::from(self.driver.id())]);
        for pid in processes.map(|pid| pid.to_string()) {
            let mut kill = Command::new("kill");
            let _ = kill
                .args(["-s", "TERM", &pid])
                .stderr(Stdio::null())
                .status();
        }
        let _ = self.driver.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}
