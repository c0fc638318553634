//! `tests/compose`: what its files say, run without containers. The settings are the ones there,
//! only the addresses differ.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory as _;
use neptun_auth::config::Flags;
use serde_json::Value;

use crate::redis::server::{Brand, Server};
use crate::support::echo::{EchoApp, Seen};
use crate::support::proxy::{Kind, Proxy};
use crate::support::service::binary;
use crate::support::{ADMIN_TOKEN, Ask, Service, python};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose")
}

/// The services of the file, by name.
fn services() -> Value {
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let file = folder().join("compose.yaml");
    let mut judge = Command::new(python());
    let output = judge.args(["-c", script]).arg(file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut compose: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(compose["networks"].get("backend").is_some());
    compose["services"].take()
}

/// The variables of a service and their values.
fn environment(of: &str) -> Vec<(String, String)> {
    let services = services();
    let variables = services[of]["environment"].as_object().unwrap().iter();
    variables
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect()
}

fn valkey() -> Server {
    let services = services();
    let command = services["valkey"]["command"].as_str().unwrap();
    let command = command.strip_prefix("valkey-server ").unwrap();
    Server::start(Brand::Valkey, &command.split(' ').collect::<Vec<_>>())
}

/// One of the replicas; where the file names another container or asks whoever runs it, the test
/// has its own.
fn replica(server: &Server) -> Service {
    let mut command = binary();
    for (name, value) in environment("auth-1") {
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

#[test]
fn the_settings_in_the_compose_file_exist() {
    let command = Flags::command();
    let known: Vec<&str> = command
        .get_arguments()
        .filter_map(|arg| arg.get_env()?.to_str())
        .collect();
    let named = environment("auth-1");
    assert!(named.len() >= 4, "they were not found: {named:?}");
    for (name, _) in named {
        assert!(known.contains(&name.as_str()), "{name} is no setting");
    }
}

#[test]
fn its_containers_are_in_one_network_and_have_the_files_and_the_token_that_they_need() {
    let services = services();
    for (name, service) in services.as_object().unwrap() {
        assert_eq!(service["networks"][0], "backend", "{name}");
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = volume.as_str().unwrap().split(':').next().unwrap();
            let is_there = !source.starts_with('.') || folder().join(source).is_file();
            assert!(is_there, "{name}: {volume}");
        }
    }
    assert_eq!(services["auth-1"], services["auth-2"]);
    let token = &services["auth-1"]["environment"]["NEPTUN_AUTH_ADMIN_TOKEN"];
    let default = token.as_str().unwrap().split_once(":-").unwrap().1;
    assert!(default.trim_end_matches('}').len() >= 16, "{default}");
    assert_eq!(
        &services["app"]["environment"]["NEPTUN_AUTH_ADMIN_TOKEN"],
        token
    );
    // The app asks for what it is told.
    let express = include_str!("../backends/express.mjs");
    for (name, _) in environment("app") {
        assert!(express.contains(&name), "{name}");
    }
    // So does the proxy's file, which listens where the port leads.
    let caddyfile = include_str!("../proxies/Caddyfile");
    for (name, _) in environment("proxy") {
        assert!(caddyfile.contains(&format!("{{${name}:")), "{name}");
    }
    assert_eq!(services["proxy"]["ports"][0], "8000:8000");
    assert!(caddyfile.contains("\n:8000 {"));
}

#[test]
fn the_replicas_of_the_compose_file_share_sessions_behind_its_proxy() {
    let server = valkey();
    let replicas = [replica(&server), replica(&server)];
    let addresses = [replicas[0].public, replicas[1].public];
    let app = EchoApp::start();
    let proxy = Proxy::between(Kind::Caddy, "Caddyfile", addresses, app.address);
    let statuses = |method: &str, target: &str, token: &str| -> Vec<u16> {
        let ask = Ask::new(method, target).session(token);
        let answers = (0..10).map(|_| ask.send(proxy.address));
        answers.map(|answer| answer.status).collect()
    };
    let (token, other) = (replicas[0].token_of("42"), replicas[1].token_of("42"));
    assert_eq!(statuses("GET", "/", &token), [200; 10]);
    let logout = Ask::logout(&token);
    assert_eq!(logout.send(proxy.address).body, "true");
    assert_eq!(statuses("GET", "/", &token), [401; 10]);
    assert!(replicas.iter().all(|replica| !replica.is_live(&token)));
    let admin = Ask::list("42").session(&other).send(proxy.address);
    assert_eq!(Seen::by_app(&admin).target(), "/admin/users/42/sessions");

    // One replica less is nobody's business.
    let [first, _second] = replicas;
    first.stop();
    assert_eq!(statuses("GET", "/", &other), [200; 10]);
    assert_eq!(statuses("POST", "/api/auth/logout", &other), [200; 10]);
}
