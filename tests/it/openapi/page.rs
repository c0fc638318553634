//! `/docs` in a real browser.

use std::process::Command;

use serde_json::Value;

use super::{document_of, service};
use crate::support::{Ask, Scratch, browser, tool};

#[test]
fn a_browser_shows_every_route_and_asks_nobody_else() {
    let service = service();
    let document = document_of(&service);
    let scratch = Scratch::new("docs");
    let (net_log, profile) = (scratch.join("net-log.json"), scratch.join("profile"));
    let output = Command::new("timeout")
        .arg("60")
        .arg(tool("chromium"))
        .args(browser::FLAGS.split(' '))
        .arg("--enable-logging=stderr")
        .args(["--virtual-time-budget=10000", "--dump-dom"])
        .arg(format!("--log-net-log={}", net_log.display()))
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("http://{}/docs", service.admin))
        .output()
        .unwrap();
    let dom = String::from_utf8(output.stdout).unwrap();
    let console = String::from_utf8_lossy(&output.stderr).into_owned();
    for (path, item) in document["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            let Some(name) = operation["operationId"].as_str() else {
                continue;
            };
            assert!(dom.contains(&format!("id=\"{name}\"")), "{name}: {console}");
        }
        assert!(dom.contains(path.as_str()), "{path}: {console}");
    }
    assert!(dom.contains("statusMessage") && dom.contains("X-Request-Id"));
    // The browser says so if the policy kept something from the page, or its script fails.
    assert!(!console.contains("CONSOLE"), "{console}");

    let log = std::fs::read_to_string(net_log).unwrap();
    let log: Value = serde_json::from_str(&log).unwrap();
    let ours = format!("http://{}", service.admin);
    // The browser's own errands have no page for an initiator.
    let requests = log["events"].as_array().unwrap().iter();
    let requests = requests.filter(|event| event["params"]["initiator"] == ours);
    let urls: Vec<&str> = requests
        .filter_map(|event| event["params"]["url"].as_str())
        .collect();
    assert!(
        urls.iter().any(|url| url.ends_with("/openapi.json")),
        "{urls:?}"
    );
    assert!(
        urls.iter().all(|url| url.starts_with(&format!("{ours}/"))),
        "{urls:?}"
    );
}

#[test]
fn the_page_lets_the_browser_load_nothing_but_itself_and_the_document() {
    let answer = Ask::get("/docs").send(service().admin);
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = answer.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    assert!(
        !policy.contains("unsafe") && !policy.contains("http"),
        "{policy}"
    );
    for elsewhere in ["http:", "https:", "src=\"//", "@import"] {
        assert!(!answer.body.contains(elsewhere), "{elsewhere}");
    }
    assert!(answer.body.len() < 32 * 1024);
}
