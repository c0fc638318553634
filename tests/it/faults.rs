//! What the edge says when the store fails, in every flavour: the status, the cookie, and what
//! asking again says.

use std::time::{Duration, Instant};

use neptun_auth::http::describe_current;
use neptun_auth::telemetry;

use crate::support::faulty::{Fault, FaultyService};
use crate::support::{Ask, Connection, assert_envelope, rerun, unknown_token};

const FLAVOURS: [Fault; 3] = [Fault::Refuses, Fault::AppliesThenFails, Fault::Hangs];

#[test]
fn a_logout_that_fails_is_500_keeps_the_cookie_and_is_settled_by_a_retry() {
    for fault in FLAVOURS {
        let service = FaultyService::start();
        let token = service.token_of("42");
        service.fail(fault);
        let failed = service.logout(&token);
        assert_envelope(
            &failed,
            500,
            "Internal Server Error",
            "Session could not be cleared",
        );

        service.fail(Fault::None);
        // Whether the failed call was applied shows only now, and either way it is over then.
        let applied = fault == Fault::AppliesThenFails;
        assert_eq!(
            service.check(&token).status,
            if applied { 401 } else { 204 }
        );
        let retried = service.logout(&token);
        assert_eq!(
            (retried.status, retried.body == "true"),
            (200, !applied),
            "{fault:?}"
        );
        assert_eq!(service.check(&token).status, 401);
    }
}

#[test]
fn one_unconfirmed_session_among_several_makes_the_whole_logout_a_500() {
    let service = FaultyService::start();
    let (one, two) = (service.token_of("42"), service.token_of("42"));
    service.fail(Fault::AppliesThenFails);
    let both = format!("{one}; neptun-session={two}");
    assert_eq!(service.logout(&both).status, 500);
    service.fail(Fault::None);
    // Every one was tried, not only those before the first failure.
    assert_eq!(service.logout(&both).body, "false");
}

#[test]
fn a_check_that_cannot_tell_is_503_never_401_and_leaves_the_cookie_alone() {
    for fault in FLAVOURS {
        let service = FaultyService::start();
        let token = service.token_of("42");
        service.fail(fault);
        for method in ["GET", "HEAD"] {
            let ask = Ask::new(method, "/api/auth/check").session(&token);
            let answer = ask.send(service.public);
            assert_eq!(answer.status, 503, "{fault:?}");
            assert_eq!(answer.header("retry-after"), Some("1"));
            assert_eq!(answer.header("set-cookie"), None);
        }
        // Without a cookie the store is not even asked.
        assert_eq!(Ask::get("/api/auth/check").send(service.public).status, 401);
        service.fail(Fault::None);
        assert_eq!(service.check(&token).status, 204);
    }
}

#[test]
fn the_admin_api_says_503_for_what_it_cannot_read_or_issue_and_500_for_what_it_cannot_end() {
    let service = FaultyService::start();
    for fault in FLAVOURS {
        service.fail(fault);
        let ask = |method, target: &str| Ask::authorized(method, target);
        let unavailable = "The session store is unavailable";
        let issue = ask("POST", "/admin/sessions")
            .json("{\"user\":\"42\"}")
            .send(service.admin);
        assert_envelope(&issue, 503, "Service Unavailable", unavailable);
        let list = ask("GET", "/admin/users/42/sessions").send(service.admin);
        assert_envelope(&list, 503, "Service Unavailable", unavailable);
        let ready = Ask::get("/readyz").send(service.admin);
        assert_envelope(&ready, 503, "Service Unavailable", unavailable);
        let one = format!("/admin/sessions/{}", "0".repeat(64));
        for target in ["/admin/users/42/sessions", &one] {
            let revoke = ask("DELETE", target).send(service.admin);
            let sentence = "Sessions could not be revoked";
            assert_envelope(&revoke, 500, "Internal Server Error", sentence);
        }
        assert_eq!(service.status_of("/healthz"), 200);
    }
}

#[test]
fn each_call_that_the_store_fails_is_one_line_with_the_cause_that_no_answer_has() {
    let service = FaultyService::start();
    service.fail(Fault::Refuses);
    let (public, admin) = (service.public, service.admin);
    let calls = [
        ("logout", Ask::logout(&unknown_token(1)).send(public)),
        ("check", Ask::check(&unknown_token(1)).send(public)),
        ("issue", Ask::login("42").send(admin)),
        ("list", Ask::list("42").send(admin)),
        ("revoke", Ask::revoke_all("42").send(admin)),
        ("ready", Ask::get("/readyz").send(admin)),
    ];
    assert_eq!(service.logged(&["ERROR"]).len(), calls.len());
    for (operation, answer) in calls {
        let body = answer.json();
        let line = service.logged(&[
            "ERROR",
            body["data"]["message"].as_str().unwrap(),
            &format!("status={}", answer.status),
            &format!("operation=\"{operation}\""),
            "class=\"overloaded\"",
            "times=1",
            "cause=\"the store is unavailable (overloaded): a secret cause\"",
        ]);
        assert_eq!(line.len(), 1, "{:#?}", service.logged(&[]));
        assert!(!answer.body.contains("cause"), "{answer:?}");
    }
}

#[test]
fn a_hanging_store_holds_a_request_no_longer_than_the_store_timeout() {
    let service = FaultyService::start();
    let token = service.token_of("42");
    service.fail(Fault::Hangs);
    let begun = Instant::now();
    let four: Vec<String> = (0..3).map(unknown_token).chain([token]).collect();
    let ask = Ask::post("/api/auth/logout").sessions(&four);
    assert_eq!(ask.send(service.public).status, 500);
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_panic_is_answered_on_a_connection_that_lives_on() {
    let service = FaultyService::start();
    let token = service.token_of("42");
    let mut connection = Connection::open(service.public);
    service.fail(Fault::Panics);
    let answer = connection.ask(&Ask::logout(&token));
    assert_envelope(&answer, 500, "Internal Server Error", "Internal error");
    service.fail(Fault::None);
    let answer = connection.ask(&Ask::logout(&token));
    assert_eq!(answer.body, "true");
}

#[test]
fn a_panic_is_logged_once() {
    let mut test = rerun("faults::a_panic_is_logged_once_where_panics_are_logged");
    let output = test.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[test]
#[ignore = "changes the panic hook, so it wants a process of its own; the test above gives it one"]
fn a_panic_is_logged_once_where_panics_are_logged() {
    let everything = tracing_subscriber::filter::Targets::new();
    telemetry::start(everything, telemetry::LogFormat::Json, describe_current).unwrap();
    let service = FaultyService::start();
    let token = service.token_of("42");
    service.fail(Fault::Panics);
    let answer = service.logout(&token);
    assert_envelope(&answer, 500, "Internal Server Error", "Internal error");
    let log = service.logged(&[]).join("\n");
    assert_eq!(log.matches("injected panic").count(), 1, "{log}");
    assert_eq!(log.matches("ERROR").count(), 1, "{log}");
}
