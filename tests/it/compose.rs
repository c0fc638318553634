//! `tests/compose`: what its files say, run without containers. The settings are the ones there,
//! only the addresses differ.

use std::path::Path;

use clap::CommandFactory as _;
use neptun_auth::config::Flags;

use crate::redis::server::{Brand, Server};
use crate::support::Scratch;
use crate::support::ports::free_address;
use crate::support::proxy::{Kind, Proxy};
use crate::support::service::binary;
use crate::support::{ADMIN_TOKEN, Ask, Service};

fn text(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// The service's variables and their values.
fn environment() -> Vec<(String, String)> {
    let compose = text("compose.yaml");
    let variables = compose.lines().filter_map(|line| {
        let (name, value) = line.trim().split_once(": ")?;
        let is_ours = name.starts_with("NEPTUN_AUTH_");
        is_ours.then(|| (name.to_owned(), value.trim_matches('"').to_owned()))
    });
    variables.collect()
}

fn valkey() -> Server {
    let compose = text("compose.yaml");
    let command = compose
        .lines()
        .find_map(|line| line.trim().strip_prefix("command: valkey-server "))
        .unwrap();
    Server::start(Brand::Valkey, &command.split(' ').collect::<Vec<_>>())
}

/// One of the replicas; where the file names another container or asks whoever runs it, the test
/// has its own.
fn replica(server: &Server) -> Service {
    let mut command = binary();
    for (name, value) in environment() {
        let value = match name.as_str() {
            "NEPTUN_AUTH_STORE" => server.url(),
            "NEPTUN_AUTH_ADMIN_TOKEN" => ADMIN_TOKEN.to_owned(),
            _ => value,
        };
        command.env(name, value);
    }
    let service = Service::spawn(command);
    service.until_ready();
    service
}

fn proxy(replicas: &[Service; 2]) -> Proxy {
    let (address, home) = (free_address(), Scratch::new("compose"));
    let adapted = text("Caddyfile")
        .replace(
            "\n:8080 {",
            &format!("\n:{} {{\n\tbind 127.0.0.1", address.port()),
        )
        .replace("auth-1:8080", &replicas[0].public.to_string())
        .replace("auth-2:8080", &replicas[1].public.to_string());
    home.write("Caddyfile", adapted);
    Proxy::run(Kind::Caddy, address, home, "Caddyfile")
}

#[test]
fn the_settings_in_the_compose_file_exist() {
    let command = Flags::command();
    let known: Vec<&str> = command
        .get_arguments()
        .filter_map(|arg| arg.get_env()?.to_str())
        .collect();
    let named = environment();
    assert!(named.len() >= 4, "they were not found: {named:?}");
    for (name, _) in named {
        assert!(known.contains(&name.as_str()), "{name} is no setting");
    }
}

#[test]
fn the_replicas_of_the_compose_file_share_sessions_behind_its_proxy() {
    let server = valkey();
    let replicas = [replica(&server), replica(&server)];
    let proxy = proxy(&replicas);
    let statuses = |method: &str, target: &str, token: &str| -> Vec<u16> {
        let ask = Ask::new(method, target).session(token);
        let answers = (0..10).map(|_| ask.send(proxy.address));
        answers.map(|answer| answer.status).collect()
    };
    let (token, other) = (replicas[0].token_of("42"), replicas[1].token_of("42"));
    assert_eq!(statuses("GET", "/api/auth/check", &token), [204; 10]);
    let logout = Ask::logout(&token);
    assert_eq!(logout.send(proxy.address).body, "true");
    assert_eq!(statuses("GET", "/api/auth/check", &token), [401; 10]);
    assert!(replicas.iter().all(|replica| !replica.is_live(&token)));
    let admin = Ask::get("/admin/users/42/sessions").send(proxy.address);
    assert_eq!(admin.status, 404, "the proxy leads to the admin listener");

    // One replica less is nobody's business.
    let [first, _second] = replicas;
    first.stop();
    assert_eq!(statuses("GET", "/api/auth/check", &other), [204; 10]);
    assert_eq!(statuses("POST", "/api/auth/logout", &other), [200; 10]);
}
