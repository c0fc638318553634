//! A real proxy.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use super::ports::free_address;
use super::{Process, Scratch, tool};

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
    _process: Process,
    _home: Scratch,
}

impl Proxy {
    /// Runs `tests/proxies/{file}` between `service` and `app`. Only ports differ, and what a test
    /// must not leave to the default.
    pub fn start(kind: Kind, file: &str, service: SocketAddr, app: SocketAddr) -> Self {
        let (address, home) = (free_address(), Scratch::new("proxy"));
        let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proxies");
        for file in [file, "neptun-auth.lua"] {
            let text = fs::read_to_string(original.join(file)).unwrap();
            let text = text
                .replace("127.0.0.1:8080", &service.to_string())
                .replace("127.0.0.1:3000", &app.to_string())
                .replace("8000", &address.port().to_string());
            let globals = match kind {
                Kind::Caddy => "{\n\tadmin off\n}\n",
                Kind::Nginx | Kind::HaProxy => "",
            };
            home.write(file, format!("{globals}{text}"));
        }
        Self::run(kind, address, home, file)
    }

    /// Runs a file in `home`, which has the proxy listen at `address`.
    pub fn run(kind: Kind, address: SocketAddr, home: Scratch, file: &str) -> Self {
        let mut command = match kind {
            Kind::Nginx => nginx(&home, file),
            Kind::Caddy => {
                let mut caddy = Command::new(tool("caddy"));
                caddy.args(["run", "--adapter", "caddyfile", "--config", file]);
                caddy.env_remove("XDG_CONFIG_HOME");
                caddy.env_remove("XDG_DATA_HOME").env("HOME", &*home);
                caddy
            }
            Kind::HaProxy => {
                let mut haproxy = Command::new(tool("haproxy"));
                haproxy.args(["-db", "-f", file]);
                haproxy
            }
        };
        command.current_dir(&*home);
        let mut process = Process::start(command);
        process.wait_until_up(|| TcpStream::connect(address).is_ok());
        Self {
            kind,
            address,
            _process: process,
            _home: home,
        }
    }
}

fn nginx(home: &Path, file: &str) -> Command {
    let (file, home) = (home.join(file), home.display());
    // The default paths belong to the machine's own nginx.
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let paths = temporary.map(|what| format!("{what}_temp_path {home}/{what};\n"));
    let inside = format!("http {{\naccess_log off;\n{}", paths.concat());
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("http {", &inside)).unwrap();
    // One process, so that ending it ends all.
    let globals = format!("daemon off; master_process off; error_log stderr; pid {home}/pid;");
    let mut nginx = Command::new(tool("nginx"));
    nginx.args(["-g", &globals, "-p", &home.to_string(), "-c"]);
    nginx.arg(file);
    nginx
}
