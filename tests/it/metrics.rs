//! `/metrics`: what is counted, from when on, and under which labels.

use std::collections::HashMap;

use crate::support::faulty::{Fault, FaultyService};
use crate::support::{Answer, Ask, Connection, Service, wait_until};

const LOGOUT_COUNTS: &str =
    "neptun_auth_http_requests_total{route=\"/api/auth/logout\",method=\"POST\"";

/// The counts by name and labels, as they stand in the text; sums of seconds are left out.
fn samples(answer: &Answer) -> HashMap<String, u64> {
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4")
    );
    let lines = answer.body.lines().filter(|line| !line.starts_with('#'));
    let counts = lines.filter(|line| !line.contains("_seconds_sum"));
    counts
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (
                series.to_owned(),
                value.trim_end_matches(".0").parse().unwrap(),
            )
        })
        .collect()
}

fn scrape(service: &Service) -> HashMap<String, u64> {
    samples(&Ask::get("/metrics").send(service.admin))
}

#[test]
fn every_metric_is_described_and_there_from_the_start() {
    let service = Service::start();
    let answer = Ask::get("/metrics").send(service.admin);
    let samples = samples(&answer);
    assert_eq!(samples["neptun_auth_ready"], 1);
    let at_zero = [
        "neptun_auth_logouts_total{outcome=\"cleared\"}",
        "neptun_auth_logouts_total{outcome=\"no_session\"}",
        "neptun_auth_logouts_total{outcome=\"unauthorized\"}",
        "neptun_auth_logouts_total{outcome=\"forbidden\"}",
        "neptun_auth_logouts_total{outcome=\"error\"}",
        "neptun_auth_checks_total{outcome=\"active\"}",
        "neptun_auth_checks_total{outcome=\"denied\"}",
        "neptun_auth_checks_total{outcome=\"unavailable\"}",
        "neptun_auth_sessions_issued_total",
        "neptun_auth_sessions_ended_total{reason=\"logout\"}",
        "neptun_auth_sessions_ended_total{reason=\"admin\"}",
        "neptun_auth_sessions_ended_total{reason=\"user\"}",
        "neptun_auth_sessions",
        "neptun_auth_log_lines_lost_total",
        "neptun_auth_store_errors_total{class=\"timeout\"}",
        "neptun_auth_store_errors_total{class=\"max_sessions\"}",
        "neptun_auth_store_errors_total{class=\"overloaded\"}",
        "neptun_auth_store_errors_total{class=\"disk_full\"}",
        "neptun_auth_store_errors_total{class=\"readonly\"}",
        "neptun_auth_connections_open{listener=\"public\"}",
        "neptun_auth_sessions_ended_total{reason=\"login\"}",
        "neptun_auth_sessions_ended_total{reason=\"limit\"}",
        "neptun_auth_sessions_ended_total{reason=\"self\"}",
        "neptun_auth_connections_refused_total{listener=\"admin\"}",
        "neptun_auth_store_operation_duration_seconds_count{operation=\"delete\",outcome=\"error\"}",
        "neptun_auth_http_requests_total{route=\"/api/auth/logout\",method=\"POST\",status=\"200\"}",
        "neptun_auth_http_request_duration_seconds_count{route=\"/api/auth/logout\",method=\"POST\"}",
    ];
    for series in at_zero {
        assert_eq!(samples.get(series), Some(&0), "{series} in {}", answer.body);
    }
    // Prometheus keeps them all, for every replica.
    assert!(answer.body.len() <= 90_000, "{}", answer.body.len());
    let build = format!(
        "neptun_auth_build_info{{version=\"{}\"}}",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(samples[&build], 1);
    for series in samples.keys() {
        let name = series.split('{').next().unwrap();
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end));
        for keyword in ["HELP", "TYPE"] {
            let declared = |name: &str| answer.body.contains(&format!("# {keyword} {name} "));
            assert!(
                declared(name) || base.is_some_and(declared),
                "{keyword} of {series}"
            );
        }
    }
}

#[test]
fn what_happens_is_counted_once_under_its_outcome() {
    let service = Service::start();
    let (one, two) = (service.token_of("42"), service.token_of("42"));
    service.check(&one);
    service.logout(&one);
    service.logout(&one);
    service.check(&one);
    Ask::post("/api/auth/logout").send(service.public);
    let foreign = Ask::logout(&two).header("origin", "https://evil.example");
    foreign.send(service.public);
    service.revoke_all("42");
    Ask::get("/some/path/an/attacker/chose").send(service.public);
    Ask::new("BREW", "/api/auth/check").send(service.public);

    let samples = scrape(&service);
    let logouts = |outcome| samples[&format!("neptun_auth_logouts_total{{outcome=\"{outcome}\"}}")];
    assert_eq!(
        [
            "cleared",
            "no_session",
            "unauthorized",
            "forbidden",
            "error"
        ]
        .map(logouts),
        [1, 1, 1, 1, 0]
    );
    let checks = |outcome| samples[&format!("neptun_auth_checks_total{{outcome=\"{outcome}\"}}")];
    assert_eq!(["active", "denied", "unavailable"].map(checks), [1, 1, 0]);
    assert_eq!(samples["neptun_auth_sessions_issued_total"], 2);
    assert_eq!(
        samples["neptun_auth_sessions_ended_total{reason=\"logout\"}"],
        1
    );
    assert_eq!(
        samples["neptun_auth_sessions_ended_total{reason=\"user\"}"],
        1
    );
    assert_eq!(samples["neptun_auth_sessions"], 0);
    let count = |labels: &str| samples[&format!("neptun_auth_http_requests_total{{{labels}}}")];
    assert_eq!(
        count("route=\"/api/auth/logout\",method=\"POST\",status=\"200\""),
        2
    );
    assert_eq!(
        count("route=\"/admin/users/{user}/sessions\",method=\"DELETE\",status=\"200\""),
        1
    );
    assert_eq!(count("route=\"other\",method=\"GET\",status=\"404\""), 1);
    assert_eq!(
        samples["neptun_auth_http_request_duration_seconds_count{route=\"/api/auth/logout\",method=\"POST\"}"],
        4
    );
    assert_eq!(
        count("route=\"/api/auth/check\",method=\"other\",status=\"405\""),
        1
    );
    assert_eq!(
        samples["neptun_auth_store_operation_duration_seconds_count{operation=\"delete\",outcome=\"ok\"}"],
        2
    );
    let text = samples.keys().cloned().collect::<String>();
    assert!(!text.contains("attacker") && !text.contains("BREW") && !text.contains(&one));
}

#[test]
fn a_failing_store_and_a_client_that_leaves_are_counted() {
    let service = FaultyService::start();
    let token = service.token_of("42");
    let ask = Ask::logout(&token);
    service.fail(Fault::Hangs);
    // The service answers after the store's timeout of 200 ms; this client does not wait for it.
    let mut leaving = Connection::open(service.public);
    leaving.write(&ask.bytes());
    leaving.stream().shutdown(std::net::Shutdown::Both).unwrap();
    drop(leaving);
    assert_eq!(ask.send(service.public).status, 500);
    service.fail(Fault::None);
    // The first may still be on its way out; it is counted all the same.
    let mut samples = HashMap::new();
    wait_until("both are counted", || {
        samples = self::samples(&Ask::get("/metrics").send(service.admin));
        let of_logouts = samples
            .iter()
            .filter(|(series, _)| series.starts_with(LOGOUT_COUNTS));
        of_logouts.map(|(_, count)| count).sum::<u64>() == 2
    });
    assert!(samples["neptun_auth_logouts_total{outcome=\"error\"}"] >= 1);
    assert!(samples["neptun_auth_store_errors_total{class=\"timeout\"}"] >= 1);
}
