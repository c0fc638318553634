//! A real proxy that runs the README's own configuration, with other ports.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::ports::free_address;
use super::tool;

const PATIENCE: Duration = Duration::from_secs(20);

/// Whose configuration it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    Caddy,
    HaProxy,
}

/// A running proxy; ended with the test.
pub struct Proxy {
    pub kind: Kind,
    pub address: SocketAddr,
    child: Child,
    directory: PathBuf,
}

impl Proxy {
    /// Runs `tests/proxies/{file}` between `service` and `app`.
    pub fn start(kind: Kind, file: &str, service: SocketAddr, app: SocketAddr) -> Self {
        // Whoever takes the port between our look and the proxy's start makes the start fail.
        for _attempt in 0..5 {
            let address = free_address();
            let directory = configure(kind, file, address.port(), service, app);
            let child = command(kind, file, &directory).spawn().unwrap();
            let mut proxy = Self {
                kind,
                address,
                child,
                directory,
            };
            if proxy.is_up() {
                return proxy;
            }
        }
        panic!("{kind:?} does not start with {file}");
    }

    /// Waits until it takes connections; false if it ended instead.
    fn is_up(&mut self) -> bool {
        let begun = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if self.child.try_wait().unwrap().is_some() {
                println!("{}", fs::read_to_string(self.log()).unwrap());
                return false;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{:?} does not listen",
                self.kind
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!(
                "log of {:?}: {}",
                self.kind,
                fs::read_to_string(self.log()).unwrap()
            );
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A directory with the configuration files, in which only ports differ, and what a test on a
/// shared machine must not leave to the default: where logs and temporary files go.
fn configure(kind: Kind, file: &str, port: u16, service: SocketAddr, app: SocketAddr) -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!(
        "proxy-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::SeqCst)
    );
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&directory).unwrap();
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proxies");
    for file in [file, "neptun-auth.lua"] {
        let text = fs::read_to_string(original.join(file)).unwrap();
        let text = text
            .replace("127.0.0.1:8080", &service.to_string())
            .replace("127.0.0.1:3000", &app.to_string())
            .replace("8000", &port.to_string());
        let text = match kind {
            Kind::Nginx => text.replace("http {", &format!("http {{\n{}", at_home(&directory))),
            Kind::Caddy => format!("{{\n\tadmin off\n}}\n{text}"),
            Kind::HaProxy => text,
        };
        fs::write(directory.join(file), text).unwrap();
    }
    directory
}

/// nginx's default paths belong to the machine's own nginx.
fn at_home(directory: &Path) -> String {
    let home = directory.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let paths = temporary.map(|what| format!("{what}_temp_path {home}/{what};\n"));
    format!("access_log off;\n{}", paths.concat())
}

fn command(kind: Kind, file: &str, directory: &Path) -> Command {
    let mut command = match kind {
        Kind::Nginx => {
            let mut nginx = Command::new(tool("nginx"));
            // One process, so that ending it ends all.
            let globals = format!(
                "daemon off; master_process off; error_log stderr; pid {}/pid;",
                directory.display()
            );
            nginx
                .arg("-p")
                .arg(directory)
                .arg("-c")
                .arg(directory.join(file));
            nginx.args(["-g", &globals]);
            nginx
        }
        Kind::Caddy => {
            let mut caddy = Command::new(tool("caddy"));
            caddy.args(["run", "--adapter", "caddyfile", "--config", file]);
            caddy.env("HOME", directory);
            caddy
        }
        Kind::HaProxy => {
            let mut haproxy = Command::new(tool("haproxy"));
            haproxy.args(["-db", "-f", file]);
            haproxy
        }
    };
    let log = fs::File::create(directory.join("log")).unwrap();
    command
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    command
}
