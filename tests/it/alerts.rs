//! The alerts, held against Prometheus' own tool and against the metrics that there are.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Ask, Service};

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/deploy")
        .join(file)
}

fn promtool(args: &[&str], file: &str) {
    let output = Command::new("promtool")
        .args(args)
        .arg(deploy(file))
        .output()
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
}

#[test]
fn each_alert_comes_when_it_should_and_a_healthy_instance_has_none() {
    promtool(
        &["check", "rules", "--lint=all", "--lint-fatal"],
        "alerts.yaml",
    );
    promtool(&["test", "rules"], "alerts_test.yaml");
    let tests = fs::read_to_string(deploy("alerts_test.yaml")).unwrap();
    let rules = fs::read_to_string(deploy("alerts.yaml")).unwrap();
    for rule in rules.split("- alert: ").skip(1) {
        let name = rule.lines().next().unwrap();
        // Once where all is well, and once where it comes.
        assert!(
            tests.matches(&format!("alertname: {name}\n")).count() >= 1,
            "{name}"
        );
        assert!(
            tests
                .matches(&format!("alertname: {name}, exp_alerts: []"))
                .count()
                >= 1,
            "{name}"
        );
    }
}

#[test]
fn the_metrics_are_as_prometheus_has_them_and_have_every_series_that_an_alert_is_about() {
    let service = Service::start();
    let metrics = Ask::get("/metrics").send(service.admin).body;
    let mut check = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check
        .stdin
        .take()
        .unwrap()
        .write_all(metrics.as_bytes())
        .unwrap();
    let output = check.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");

    let rules = fs::read_to_string(deploy("alerts.yaml")).unwrap();
    let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut count = 0;
    for line in rules.lines().filter(|line| line.contains("expr: ")) {
        let series = &line[line.find("neptun_auth_").unwrap()..];
        let name = series.split(|c| !is_of_a_name(c)).next().unwrap();
        assert!(metrics.contains(&format!("# TYPE {name} ")), "{name}");
        let labels = series[name.len()..]
            .split_once('}')
            .and_then(|(labels, _)| labels.strip_prefix('{'));
        if let Some((label, value)) = labels.and_then(|labels| labels.split_once("=\"")) {
            let series = format!("{name}{{{label}=\"{}\"}}", value.trim_end_matches('"'));
            assert!(metrics.contains(&series), "{series}");
        }
        count += 1;
    }
    assert!(count >= 10, "they were not found");
}

#[test]
fn a_service_that_ends_is_not_ready_and_says_so_to_the_last() {
    let mut service = Service::start();
    let ready = |service: &Service| {
        let metrics = Ask::get("/metrics").send(service.admin).body;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("neptun_auth_ready "));
        line.unwrap().to_owned()
    };
    assert_eq!(ready(&service), "1");
    // It keeps the admin listener open for half a second.
    let mut idle = crate::support::Connection::open(service.public);
    idle.ask(&Ask::get("/api/auth/check"));
    service.signal("TERM");
    service.wait_for_line("shutting down");
    assert_eq!(ready(&service), "0");
}
