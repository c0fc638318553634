//! What any client can make happen any number of times leaves a handful of lines in the log, which
//! say how often it was to the last time.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::redis::server::{Brand, Server};
use crate::support::{Answer, Ask, Connection, Service, parsed};

/// For how many times the lines stand that contain `text`.
fn times(lines: &[Value], text: &str) -> (usize, u64) {
    let about_it = |line: &&Value| line["message"].as_str().unwrap().contains(text);
    let about_it: Vec<_> = lines.iter().filter(about_it).collect();
    let times = about_it.iter().map(|line| line["times"].as_u64().unwrap());
    (about_it.len(), times.sum())
}

#[test]
fn a_store_that_is_away_leaves_a_few_lines_that_count_every_failure_and_say_when_it_is_back() {
    let mut redis = Server::start(Brand::Redis, &[]);
    let mut service = Service::with(&["--store", &redis.url()]);
    service.until_ready();
    let token = service.token_of("42");
    redis.kill();

    let mut connection = Connection::open(service.public);
    let begun = Instant::now();
    let mut asked = 0;
    while begun.elapsed() < Duration::from_secs(3) {
        let logout = Ask::logout(&token);
        let logout = logout.header("x-request-id", format!("logout-{asked}"));
        assert_eq!(connection.ask(&logout).status, 500);
        let check = Ask::check(&token);
        assert_eq!(connection.ask(&check).status, 503);
        asked += 1;
    }
    assert!(asked > 100, "{asked}");
    assert_eq!(service.status_of("/readyz"), 503);

    redis.start_again();
    service.until_ready();
    assert_eq!(service.logout(&token).status, 200);
    service.wait_for_line("the session store works again");
    let failed = "neptun_auth_store_operation_duration_seconds_count{operation=\"delete\",outcome=\"error\"}";
    let failed = service.metric(failed).unwrap();
    let (_, log) = service.stop();
    assert!(log.len() < 40, "{log:#?}");
    let lines = parsed(&log);
    for operation in ["logout", "check"] {
        let of_it = |line: &&Value| line["operation"] == operation;
        let told: Vec<&Value> = lines.iter().filter(of_it).collect();
        let times: Vec<u64> = told
            .iter()
            .map(|one| one["times"].as_u64().unwrap())
            .collect();
        assert_eq!(times.iter().sum::<u64>(), asked, "{told:#?}");
        // Of each class the first at once, the others at the end.
        assert!(told.len() <= 6, "{told:#?}");
        assert_eq!(times[0], 1);
        assert!(told[0]["requestId"].is_string());
    }
    let is_back = |line: &&Value| {
        line["message"] == "the session store works again" && line["operation"] == "delete"
    };
    let is_back: Vec<&Value> = lines.iter().filter(is_back).collect();
    let of_all: u64 = is_back
        .iter()
        .map(|one| one["failures"].as_u64().unwrap())
        .sum();
    assert_eq!((of_all, failed), (asked, asked), "{is_back:#?}");
    assert!(
        is_back
            .iter()
            .any(|one| one["millis"].as_u64().unwrap() > 2_000)
    );
}

#[test]
fn wrong_admin_tokens_are_counted_under_the_address_of_whoever_guesses() {
    const GUESSES: u64 = 200;
    let mut service = Service::start();
    let mut connection = Connection::open(service.admin);
    for guess in 0..GUESSES {
        let mut ask = Ask::get("/admin/users/42/sessions");
        if guess % 2 == 0 {
            ask = ask.header("authorization", format!("Bearer guess-{guess}"));
        }
        assert_eq!(connection.ask(&ask).status, 401);
    }
    // The others are told of though no other comes.
    let sentence = "A valid admin token is needed";
    let first = service.wait_for_line(sentence);
    let rest = service.wait_for_line(sentence);
    let lines = parsed(&[first, rest]);
    assert_eq!(times(&lines, sentence), (2, GUESSES));
    for line in &lines {
        assert_eq!(line["peer"], "127.0.0.1");
        assert_eq!(line["level"], "WARN");
        assert!(!line.to_string().contains("guess"), "{line}");
    }
}

#[test]
fn refused_pages_are_counted_under_their_origin_or_their_address() {
    let service = Service::with(&["--allowed-origins", "https://app.example"]);
    let cross_site = || Ask::post("/api/auth/logout").header("sec-fetch-site", "cross-site");
    let preflight = |origin: &str| {
        Ask::new("OPTIONS", "/api/auth/logout")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
    };
    let mut connection = Connection::open(service.public);
    let mut ask = |ask: &Ask| -> Answer { connection.ask(ask) };
    let evil = cross_site().header("origin", b"https://evil.example\"\xff\t<x>");
    for _ in 0..100 {
        assert_eq!(ask(&evil).status, 403);
    }
    assert_eq!(ask(&cross_site()).status, 403);
    assert_eq!(ask(&preflight("https://evil.example")).status, 405);
    // Nobody is refused here.
    assert_eq!(ask(&preflight("https://app.example")).status, 200);
    let options = Ask::new("OPTIONS", "/api/auth/logout");
    assert_eq!(ask(&options).status, 405);
    let from_allowed = options.header("origin", "https://app.example");
    assert_eq!(ask(&from_allowed).status, 405);
    assert_eq!(ask(&Ask::post("/api/auth/logout")).status, 401);
    let (_, log) = service.stop();
    let lines = parsed(&log);
    let sentence = "its origin is not in allowed-origins";
    assert_eq!(times(&lines, sentence), (2, 102), "{log:#?}");
    let first = lines.iter().find(|line| line["origin"].is_string());
    let first = first.unwrap();
    assert_eq!(first["origin"], "https://evil.example\\\"\\xff\\t<x>");
    assert_eq!(
        (&first["times"], &first["peer"]),
        (&1.into(), &"127.0.0.1".into())
    );
}

#[test]
fn an_endless_origin_is_cut_short() {
    let service = Service::start();
    let endless = format!("https://{}", "x".repeat(8_000));
    let ask = Ask::post("/api/auth/logout").header("origin", endless);
    assert_eq!(ask.send(service.public).status, 403);
    let (_, log) = service.stop();
    let line = log.iter().find(|line| line.contains("allowed-origins"));
    assert!(line.unwrap().len() < 800, "{line:?}");
}
