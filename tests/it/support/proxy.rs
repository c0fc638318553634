//! A real proxy.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use super::ports::free_address;
use super::{Ask, Process, Scratch, python, tool};

/// Whose configuration it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    Caddy,
    HaProxy,
    Traefik,
    Envoy,
}

/// The configurations in front of any app.
pub const FOR_MEMBERS: [(Kind, &str); 5] = [
    (Kind::Nginx, "nginx.conf"),
    (Kind::Caddy, "Caddyfile"),
    (Kind::HaProxy, "haproxy.cfg"),
    (Kind::Traefik, "traefik.yml"),
    (Kind::Envoy, "envoy.yaml"),
];

/// Those in front of an app that decides itself what visitors may see.
pub const FOR_VISITORS: [(Kind, &str); 2] = [
    (Kind::Nginx, "web-app.nginx.conf"),
    (Kind::Caddy, "web-app.Caddyfile"),
];

/// All of them.
pub fn configurations() -> impl Iterator<Item = (Kind, &'static str)> {
    FOR_MEMBERS.into_iter().chain(FOR_VISITORS)
}

impl Kind {
    /// What its configuration refers to.
    fn companion(self) -> Option<&'static str> {
        match self {
            Self::Nginx | Self::Caddy => None,
            Self::HaProxy => Some("neptun-auth.lua"),
            Self::Traefik => Some("traefik-neptun-auth.yml"),
            Self::Envoy => Some("envoy.lua"),
        }
    }
}

/// A running proxy; ended with the test.
pub struct Proxy {
    pub kind: Kind,
    pub address: SocketAddr,
    _process: Process,
    _home: Scratch,
}

impl Proxy {
    /// Runs `tests/proxies/{file}` between `service` and `app`, as if both replicas were one.
    pub fn start(kind: Kind, file: &str, service: SocketAddr, app: SocketAddr) -> Self {
        Self::between(kind, file, [service, service], app)
    }

    /// Runs `tests/proxies/{file}` between replicas of the service and `app`.
    pub fn between(kind: Kind, file: &str, replicas: [SocketAddr; 2], app: SocketAddr) -> Self {
        let (address, home) = (free_address(), Scratch::new("proxy"));
        configure(&home, kind, file, address, replicas, app);
        Self::run(kind, address, home, file)
    }

    /// Runs what `sed` makes of `tests/proxies/{file}` by `program`.
    pub fn renamed(
        kind: Kind,
        file: &str,
        program: &str,
        service: SocketAddr,
        app: SocketAddr,
    ) -> Self {
        let (address, home) = (free_address(), Scratch::new("proxy"));
        configure(&home, kind, file, address, [service, service], app);
        let mut sed = Command::new("sed");
        let files = [file].into_iter().chain(kind.companion());
        sed.args(["-i", program]).args(files).current_dir(&*home);
        assert!(sed.status().unwrap().success(), "{program}");
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
            Kind::Traefik => {
                let mut traefik = Command::new(python().with_file_name("traefik"));
                traefik.arg(format!("--configfile={file}"));
                traefik
            }
            Kind::Envoy => {
                let mut envoy = Command::new(python().with_file_name("envoy"));
                envoy.args(["-c", file, "--concurrency", "1", "--disable-hot-restart"]);
                envoy
            }
        };
        command.current_dir(&*home);
        let mut process = Process::start(command);
        process.wait_until_up(|| match kind {
            // It listens before it has read which routes there are.
            Kind::Traefik => Ask::get("/")
                .try_send(address)
                .is_some_and(|no| no.status != 404),
            _ => TcpStream::connect(address).is_ok(),
        });
        Self {
            kind,
            address,
            _process: process,
            _home: home,
        }
    }
}

/// Puts the files into `home`. Only ports differ, and what a test must not leave to the default.
fn configure(
    home: &Scratch,
    kind: Kind,
    file: &str,
    address: SocketAddr,
    replicas: [SocketAddr; 2],
    app: SocketAddr,
) {
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proxies");
    let ports = [
        ("8080", replicas[0].port()),
        ("8090", replicas[1].port()),
        ("3000", app.port()),
        ("8001", free_address().port()),
    ];
    for file in [file].into_iter().chain(kind.companion()) {
        let text = fs::read_to_string(original.join(file)).unwrap();
        let mut text = text.replace("8000", &address.port().to_string());
        for (known, port) in ports {
            for before in ["127.0.0.1:", "port_value: "] {
                text = text.replace(&format!("{before}{known}"), &format!("{before}{port}"));
            }
        }
        let globals = match kind {
            Kind::Caddy => "{\n\tadmin off\n}\n",
            _ => "",
        };
        home.write(file, format!("{globals}{text}"));
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
