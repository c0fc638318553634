//! What a store does after its caller was told that it failed: it is told and counted all the
//! same, and a login that nobody was told of leaves nothing.

use std::time::Duration;

use serde_json::Value;

use crate::support::faulty::{Fault, FaultyService};
use crate::support::{Answer, Ask, Connection, PATIENCE, unknown_token, wait_until};

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
    service.release(1, Fault::None);
    answer
}

#[test]
fn a_logout_that_is_applied_too_late_is_told_and_counted_once() {
    let service = FaultyService::start();
    let token = service.token_of("42");
    let answer = ask_in_vain(&service, &Ask::logout(&token), false);
    assert_eq!(answer.status, 500);
    wait_until("it is counted", || service.ended_for("logout") == 1);
    let told = ["session ended", "user=\"42\"", "reason=\"logout\""];
    assert_eq!(service.logged(&told).len(), 1, "{:#?}", service.logged(&[]));
    // The retry finds nothing to end.
    assert_eq!(service.logout(&token).body, "false");
    assert_eq!(service.ended_for("logout"), 1);
    let timeouts = "neptun_auth_store_errors_total{class=\"timeout\"}";
    assert_eq!(service.metric(timeouts), Some(1));
}

#[test]
fn a_revoke_all_that_is_applied_too_late_is_one_line_and_counts_each() {
    let service = FaultyService::start();
    for _ in 0..3 {
        service.token_of("42");
    }
    let answer = ask_in_vain(&service, &Ask::revoke_all("42"), true);
    assert_eq!(answer.status, 500);
    wait_until("they are counted", || service.ended_for("user") == 3);
    let told = ["sessions ended", "user=42", "reason=\"user\"", "count=3"];
    assert_eq!(service.logged(&told).len(), 1, "{:#?}", service.logged(&[]));
    assert_eq!(service.logged(&["session ended"]).len(), 0);
    assert_eq!(service.list("42"), Vec::<Value>::new());
}

#[test]
fn a_login_that_is_applied_too_late_leaves_no_session() {
    let service = FaultyService::start();
    let answer = ask_in_vain(&service, &Ask::login("42"), true);
    assert_eq!(answer.status, 503);
    let text = "session removed that nobody was told of";
    wait_until("it is removed", || service.logged(&[text]).len() == 1);
    assert_eq!(service.list("42"), Vec::<Value>::new());
    assert_eq!(service.logged(&["session issued"]).len(), 0);
    assert_eq!(service.metric("neptun_auth_sessions_issued_total"), Some(0));
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
    let of_one = Ask::revoke(&"0".repeat(64));
    let cases = [
        (
            Ask::logout(&unknown_token(1)),
            false,
            "Session could not be cleared",
        ),
        (Ask::revoke_all("42"), true, "Sessions could not be revoked"),
        (of_one, true, "Sessions could not be revoked"),
        (Ask::login("42"), true, "The session store is unavailable"),
    ];
    for (ask, to_admin, sentence) in cases {
        let service = FaultyService::patient();
        let ask = ask.header("x-request-id", "of-one-who-left");
        ask_and_go(&service, &ask, to_admin);
        service.release(1, Fault::Refuses);
        wait_until("the log tells", || service.logged(&[sentence]).len() == 1);
        assert_eq!(
            service.logged(&["ERROR"]).len(),
            1,
            "{:#?}",
            service.logged(&[])
        );
    }
}

#[test]
fn a_request_that_ran_out_of_time_has_its_store_call_finished_and_told() {
    let service = FaultyService::with_timeouts(PATIENCE, Duration::from_millis(200));
    let token = service.token_of("42");
    let answer = ask_in_vain(&service, &Ask::logout(&token), false);
    assert_eq!(answer.status, 408);
    wait_until("it is counted", || service.ended_for("logout") == 1);

    service.fail(Fault::Waits);
    assert_eq!(service.logout(&token).status, 408);
    service.wait_until_called();
    service.release(1, Fault::Refuses);
    let sentence = "Session could not be cleared";
    wait_until("the log tells", || service.logged(&[sentence]).len() == 1);

    // All steps of a login share four fifths of that time.
    let answer = ask_in_vain(&service, &Ask::login("43"), true);
    assert_eq!(answer.status, 503);
    let text = "session removed that nobody was told of";
    wait_until("it is removed", || service.logged(&[text]).len() == 1);
    assert_eq!(service.list("43"), Vec::<Value>::new());
}
