//! What a store does after its caller was told that it failed: it is told and counted all the
//! same, and a login that nobody was told of leaves nothing.

use std::time::Duration;

use serde_json::json;

use crate::support::faulty::{Fault, FaultyService};
use crate::support::{Answer, Ask, Connection, PATIENCE, Service, unknown_token, wait_until};

fn logout(token: &str) -> Ask {
    Ask::post("/api/auth/logout").session(token)
}

fn revoke_all(user: &str) -> Ask {
    Service::authorized("DELETE", &format!("/admin/users/{user}/sessions"))
}

fn login(user: &str) -> Ask {
    let body = json!({ "user": user }).to_string();
    Service::authorized("POST", "/admin/sessions").json(&body)
}

fn listed(service: &FaultyService, user: &str) -> usize {
    let ask = Service::authorized("GET", &format!("/admin/users/{user}/sessions"));
    let listed = ask.send(service.admin).json();
    listed["sessions"].as_array().unwrap().len()
}

fn metric(service: &FaultyService, series: &str) -> u64 {
    let text = Ask::get("/metrics").send(service.admin).body;
    let line = text.lines().find(|line| line.starts_with(series));
    let (_, value) = line.unwrap().rsplit_once(' ').unwrap();
    value.parse().unwrap()
}

fn ended_for(service: &FaultyService, reason: &str) -> u64 {
    let series = format!("neptun_auth_sessions_ended_total{{reason=\"{reason}\"}}");
    metric(service, &series)
}

/// The lines of the log that contain all of `parts`.
fn lines_with(service: &FaultyService, parts: &[&str]) -> usize {
    let log = service.log();
    let lines = log.lines();
    lines
        .filter(|line| parts.iter().all(|part| line.contains(part)))
        .count()
}

/// Asks while the store waits, hears an error, and has the store do it after all.
fn ask_in_vain(service: &FaultyService, ask: &Ask, to_admin: bool) -> Answer {
    service.fail(Fault::Waits);
    let address = if to_admin {
        service.admin
    } else {
        service.public
    };
    let answer = ask.send(address);
    service.wait_until_called();
    // First, or a call that follows the released one could wait as well.
    service.fail(Fault::None);
    service.release();
    answer
}

#[test]
fn a_logout_that_is_applied_too_late_is_told_and_counted_once() {
    let service = FaultyService::start();
    let token = service.token_of("42");
    let answer = ask_in_vain(&service, &logout(&token), false);
    assert_eq!(answer.status, 500);
    wait_until("it is counted", || ended_for(&service, "logout") == 1);
    let told = ["session ended", "user=\"42\"", "reason=\"logout\""];
    assert_eq!(lines_with(&service, &told), 1, "{}", service.log());
    // The retry finds nothing to end.
    assert_eq!(logout(&token).send(service.public).body, "false");
    assert_eq!(ended_for(&service, "logout"), 1);
    let timeouts = "neptun_auth_store_errors_total{class=\"timeout\"}";
    assert_eq!(metric(&service, timeouts), 1);
}

#[test]
fn a_revoke_all_that_is_applied_too_late_is_one_line_and_counts_each() {
    let service = FaultyService::start();
    for _ in 0..3 {
        service.token_of("42");
    }
    let answer = ask_in_vain(&service, &revoke_all("42"), true);
    assert_eq!(answer.status, 500);
    wait_until("they are counted", || ended_for(&service, "user") == 3);
    let told = ["sessions ended", "user=42", "reason=\"user\"", "count=3"];
    assert_eq!(lines_with(&service, &told), 1, "{}", service.log());
    assert_eq!(lines_with(&service, &["session ended"]), 0);
    assert_eq!(listed(&service, "42"), 0);
}

#[test]
fn a_login_that_is_applied_too_late_leaves_no_session() {
    let service = FaultyService::start();
    let answer = ask_in_vain(&service, &login("42"), true);
    assert_eq!(answer.status, 503);
    let text = "session removed that nobody was told of";
    wait_until("it is removed", || lines_with(&service, &[text]) == 1);
    assert_eq!(listed(&service, "42"), 0);
    assert_eq!(lines_with(&service, &["session issued"]), 0);
    assert_eq!(metric(&service, "neptun_auth_sessions_issued_total"), 0);
}

/// Asks while the store waits, and goes away before it answers.
fn ask_and_go(service: &FaultyService, ask: &Ask, to_admin: bool) {
    service.fail(Fault::Waits);
    let address = if to_admin {
        service.admin
    } else {
        service.public
    };
    let mut connection = Connection::open(address);
    connection.write(&ask.bytes());
    service.wait_until_called();
    let socket = socket2::SockRef::from(connection.stream());
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    drop(connection);
}

#[test]
fn a_failure_is_logged_once_also_if_the_client_went_away_before() {
    let one = format!("/admin/sessions/{}", "0".repeat(64));
    let of_one = Service::authorized("DELETE", &one);
    let cases = [
        (
            logout(&unknown_token(1)),
            false,
            "Session could not be cleared",
        ),
        (revoke_all("42"), true, "Sessions could not be revoked"),
        (of_one, true, "Sessions could not be revoked"),
        (login("42"), true, "The session store is unavailable"),
    ];
    for (ask, to_admin, sentence) in cases {
        let service = FaultyService::patient();
        let ask = ask.header("x-request-id", "of-one-who-left");
        ask_and_go(&service, &ask, to_admin);
        service.fail(Fault::Refuses);
        service.release();
        wait_until("the log tells", || lines_with(&service, &[sentence]) == 1);
        assert_eq!(lines_with(&service, &["ERROR"]), 1, "{}", service.log());
    }
}

#[test]
fn a_request_that_ran_out_of_time_has_its_store_call_finished_and_told() {
    let service = FaultyService::with_timeouts(PATIENCE, Duration::from_millis(200));
    let token = service.token_of("42");
    let answer = ask_in_vain(&service, &logout(&token), false);
    assert_eq!(answer.status, 408);
    wait_until("it is counted", || ended_for(&service, "logout") == 1);

    service.fail(Fault::Waits);
    assert_eq!(logout(&token).send(service.public).status, 408);
    service.wait_until_called();
    service.fail(Fault::Refuses);
    service.release();
    let sentence = "Session could not be cleared";
    wait_until("the log tells", || lines_with(&service, &[sentence]) == 1);

    let answer = ask_in_vain(&service, &login("43"), true);
    assert_eq!(answer.status, 408);
    let text = "session removed that nobody was told of";
    wait_until("it is removed", || lines_with(&service, &[text]) == 1);
    assert_eq!(listed(&service, "43"), 0);
}
