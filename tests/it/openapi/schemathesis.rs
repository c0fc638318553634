//! Schemathesis drives both listeners from the document: no server error, no undocumented status,
//! no answer that is not as described, no request refused that is as described.

use std::net::SocketAddr;
use std::process::Command;

use crate::support::{ADMIN_TOKEN, Scratch, Service, python, run};

/// Enough for every rule of the schemas to be met and broken; a run is some 15 s.
const EXAMPLES: &str = "40";

fn drive(service: &Service, listener: SocketAddr, paths: [&str; 2]) {
    let schemathesis = python().with_file_name("schemathesis");
    let folder = Scratch::new("schemathesis");
    let root = env!("CARGO_MANIFEST_DIR");
    let config = format!("{root}/tests/it/openapi/schemathesis.toml");
    let mut command = Command::new("timeout");
    command
        .args(["120"])
        .arg(schemathesis)
        .args(["--config-file", &config])
        .args(["run", &format!("http://{}/openapi.json", service.admin)])
        .args(["--url", &format!("http://{listener}")])
        .args(paths)
        // All checks, but for what the file says: a list of them here would overrule it.
        .args(["--max-examples", EXAMPLES, "--seed", "1"])
        .args(["--continue-on-failure", "--no-color"])
        .env("SCHEMATHESIS_HOOKS", "schemathesis_hooks")
        .env("PYTHONPATH", format!("{root}/tests/it/openapi"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("ADMIN", format!("http://{}", service.admin))
        .env("ADMIN_TOKEN", ADMIN_TOKEN)
        .current_dir(&*folder);
    println!("{}", run(&mut command));
}

#[test]
fn schemathesis_finds_the_public_listener_as_documented() {
    let service = super::service();
    drive(&service, service.public, ["--include-path-regex", "^/api/"]);
}

#[test]
fn schemathesis_finds_the_admin_listener_as_documented() {
    let service = super::service();
    drive(&service, service.admin, ["--exclude-path-regex", "^/api/"]);
}
