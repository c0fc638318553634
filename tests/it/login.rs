//! `POST /admin/sessions` with all that a login can end, and what is left when that fails.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::faulty::{Fault, FaultyService};
use crate::support::start::on_every_store;
use crate::support::{
    Answer, Ask, Service, Start, assert_envelope, at_once, unknown_token, wait_until,
};

on_every_store! {
    a_login_ends_every_session_that_its_cookie_presents_whoevers_it_is,
    a_login_keeps_so_many_of_the_users_sessions_the_last,
    of_logins_at_once_that_keep_one_exactly_one_stays,
    a_cookie_that_two_logins_present_at_once_is_counted_once,
    a_label_is_shown_in_lists_and_nowhere_else,
}

fn login(body: &Value) -> Ask {
    Ask::authorized("POST", "/admin/sessions").json(&body.to_string())
}

fn ids(sessions: &[Value]) -> Vec<&str> {
    let ids = sessions.iter().map(|session| session["id"].as_str());
    ids.map(Option::unwrap).collect()
}

fn a_login_ends_every_session_that_its_cookie_presents_whoevers_it_is(start: &Start) {
    let service = start.service();
    let (mine, foreign, spared) = (
        service.token_of("42"),
        service.token_of("43"),
        service.token_of("42"),
    );
    let cookie = format!(
        "theme=d\u{fc}ster; neptun-session={mine}; neptun-session={foreign};neptun-session={mine}; \
         neptun-session={}; neptun-session=forged; x={spared}",
        unknown_token(1)
    );
    let body = json!({ "user": "42", "cookie": cookie });
    assert_eq!(service.issue_as(&body)["ended"], 2);
    assert!(!service.is_live(&mine) && !service.is_live(&foreign));
    assert!(service.is_live(&spared));
    assert_eq!(service.ended_for("login"), 2);
    // What is over already is no error.
    assert_eq!(service.issue_as(&body)["ended"], 0);
    assert_eq!(service.list("42").len(), 3);
    let nothing = json!({ "user": "42", "cookie": "" });
    assert_eq!(service.issue_as(&nothing)["ended"], 0);
}

fn a_login_keeps_so_many_of_the_users_sessions_the_last(start: &Start) {
    let service = start.service();
    let issued: Vec<(String, String)> = (0..5).map(|_| service.issue("42")).collect();
    let foreign = service.token_of("43");
    let new = service.issue_as(&json!({ "user": "42", "keep": 3 }));
    assert_eq!(new["ended"], 3);
    assert_eq!(service.ended_for("limit"), 3);
    let mut listed = service.list("42");
    listed.sort_by_key(|session| session["createdAt"].to_string());
    assert_eq!(ids(&listed).len(), 3);
    assert_eq!(ids(&listed)[2], new["id"].as_str().unwrap());
    let live = issued
        .iter()
        .filter(|(id, _)| ids(&listed).contains(&id.as_str()));
    assert_eq!(live.count(), 2);
    // The presented ones go first, and are not counted twice.
    let cookie = format!("neptun-session={}", new["token"].as_str().unwrap());
    let body = json!({ "user": "42", "cookie": cookie, "keep": 1 });
    let last = service.issue_as(&body);
    assert_eq!(last["ended"], 3);
    assert_eq!(ids(&service.list("42")), [last["id"].as_str().unwrap()]);
    assert_eq!(
        (service.ended_for("login"), service.ended_for("limit")),
        (1, 5)
    );
    assert!(service.is_live(&foreign));
    assert_eq!(
        service.issue_as(&json!({ "user": "42", "keep": 100 }))["ended"],
        0
    );
}

/// So many logins at once, of each what was answered.
fn logins_at_once(service: &Service, count: usize, body: &Value) -> Vec<Value> {
    at_once(count, |_| service.issue_as(body))
}

fn ended(issued: &[Value]) -> u64 {
    issued
        .iter()
        .map(|one| one["ended"].as_u64().unwrap())
        .sum()
}

fn of_logins_at_once_that_keep_one_exactly_one_stays(start: &Start) {
    let service = start.service();
    for round in 0..10 {
        let user = format!("user-{round}");
        service.token_of(&user);
        let issued = logins_at_once(&service, 4, &json!({ "user": user, "keep": 1 }));
        let age = |session: &&Value| (session["createdAt"].to_string(), session["id"].to_string());
        let last = issued.iter().max_by_key(age).unwrap();
        assert_eq!(ids(&service.list(&user)), [last["id"].as_str().unwrap()]);
        assert_eq!(ended(&issued), 4, "each by one of them");
        assert_eq!(service.ended_for("limit"), 4 * (round + 1));
    }
}

fn a_cookie_that_two_logins_present_at_once_is_counted_once(start: &Start) {
    let service = start.service();
    for round in 1..=10 {
        let cookie = format!("neptun-session={}", service.token_of("42"));
        let issued = logins_at_once(&service, 2, &json!({ "user": "42", "cookie": cookie }));
        assert_eq!(ended(&issued), 1);
        assert_eq!(service.ended_for("login"), round);
    }
    assert_eq!(service.list("42").len(), 20);
}

fn a_label_is_shown_in_lists_and_nowhere_else(start: &Start) {
    const LABEL: &str = "F\u{ed}refox \u{1f98a}, \"Vienna\"";
    let service = start.service();
    let body = json!({ "user": "42", "label": LABEL });
    let answer = login(&body).send(service.admin);
    let issued = answer.json();
    assert!(!format!("{answer:?}").contains("refox"), "{answer:?}");
    let listed = service.list("42");
    assert_eq!(listed[0]["label"], LABEL);
    let target = format!("/admin/sessions/{}", issued["id"].as_str().unwrap());
    assert_eq!(service.ask_admin("GET", &target).json(), listed[0]);
    let token = issued["token"].as_str().unwrap();
    let check = service.check(token);
    assert!(!format!("{check:?}").contains("refox"), "{check:?}");
    let own = Ask::get("/api/auth/sessions").session(token);
    assert_eq!(
        own.send(service.public).json()["sessions"][0]["label"],
        LABEL
    );
    service.logout(token);
    let (_, logged) = service.stop();
    let told = |line: &String| line.contains("refox") || line.contains("Vienna");
    assert!(!logged.iter().any(told), "{logged:#?}");
}

#[test]
fn a_session_that_is_not_persistent_is_forgotten_when_the_browser_is_closed() {
    let service = Service::start();
    for (persistent, ends) in [
        (json!(false), "; Path=/"),
        (json!(true), "; Path=/; Max-Age=604800"),
        (Value::Null, "; Path=/; Max-Age=604800"),
    ] {
        let issued = service.issue_as(&json!({ "user": "42", "persistent": persistent }));
        let set = issued["setCookie"].as_str().unwrap();
        assert!(set.ends_with(ends) && !set.contains("Expires"), "{set}");
    }
}

#[test]
fn a_field_that_a_login_cannot_have_is_named_and_ends_nothing() {
    const LABEL: &str = "label: must be 1 to 128 bytes without control characters";
    const KEEP: &str = "keep: must be from 1 to 100";
    let service = Service::start();
    let token = service.token_of("42");
    let cookie = |length: usize| {
        let cookie = format!("neptun-session={token}; x=");
        format!("{cookie}{}", "x".repeat(length - cookie.len()))
    };
    for (field, value, sentence) in [
        ("label", json!(""), LABEL),
        ("label", json!("a\nb"), LABEL),
        ("label", json!("\u{85}"), LABEL),
        ("label", json!("\u{e9}".repeat(65)), LABEL),
        ("label", json!(1), "label: must be a string"),
        ("keep", json!(0), KEEP),
        ("keep", json!(101), KEEP),
        ("keep", json!(-1), KEEP),
        ("keep", json!("1"), "keep: must be a whole number"),
        ("keep", json!(1.5), "keep: must be a whole number"),
        (
            "persistent",
            json!("no"),
            "persistent: must be true or false",
        ),
        ("persistent", json!(0), "persistent: must be true or false"),
        ("cookie", json!(["a=b"]), "cookie: must be a string"),
        (
            "cookie",
            json!(cookie(16 * 1024 + 1)),
            "cookie: must be at most 16 KiB long",
        ),
    ] {
        let mut body = json!({ "user": "42", "keep": 1, "cookie": cookie(100) });
        body[field] = value;
        let answer = login(&body).send(service.admin);
        assert_envelope(&answer, 422, "Unprocessable Entity", sentence);
    }
    assert!(service.is_live(&token));
    let fits = json!({
        "user": "42", "label": "\u{e9}".repeat(64), "cookie": cookie(16 * 1024),
        "keep": 1.0, "persistent": null, "ttlSeconds": null,
    });
    assert_eq!(service.issue_as(&fits)["ended"], 1);
    let nulls = json!({ "user": "42", "label": null, "cookie": null, "keep": null });
    assert_eq!(service.issue_as(&nulls)["ended"], 0);
}

/// Has a login fail in this step; what was answered.
fn fail_at(service: &FaultyService, step: &'static str, fault: Fault, presented: &str) -> Answer {
    let cookie = format!("neptun-session={presented}");
    let body = json!({ "user": "42", "cookie": cookie, "keep": 1, "label": "new" });
    service.fail_at(step, fault);
    let answer = login(&body).send(service.admin);
    service.fail(Fault::None);
    let sentence = "The session store is unavailable";
    assert_envelope(&answer, 503, "Service Unavailable", sentence);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(service.logged(&["session issued"]).len(), 2);
    answer
}

#[test]
fn a_login_that_fails_after_any_step_shows_no_token_and_leaves_no_new_session() {
    for fault in [Fault::Refuses, Fault::AppliesThenFails, Fault::Hangs] {
        let service = FaultyService::start();
        let login = || {
            let issued = service.issue_as(&json!({ "user": "42" }));
            issued["token"].as_str().unwrap().to_owned()
        };
        let (presented, other) = (login(), login());
        fail_at(&service, "insert", fault, &presented);
        let live = (service.is_live(&presented), service.is_live(&other));
        assert_eq!(live, (true, true), "{fault:?}");

        fail_at(&service, "trim", fault, &presented);
        let others_are_over = fault == Fault::AppliesThenFails;
        let live = (service.is_live(&presented), service.is_live(&other));
        assert_eq!(live, (false, !others_are_over), "{fault:?}");
        let left = service.list("42");
        let is_new = |session: &Value| session["label"] == "new";
        assert!(!left.iter().any(is_new), "{fault:?}: {left:?}");
        if fault == Fault::AppliesThenFails {
            continue;
        }
        assert_eq!(service.ended_for("login"), 1, "{fault:?}");
        assert_eq!(service.ended_for("limit"), 0, "{fault:?}");
        // Another try finds what is left to do.
        let cookie = format!("neptun-session={presented}");
        let body = json!({ "user": "42", "cookie": cookie, "keep": 1 });
        assert_eq!(service.issue_as(&body)["ended"], 1, "{fault:?}");
    }
}

#[test]
fn all_steps_of_a_login_share_the_time_of_one_request() {
    let (call, request) = (Duration::from_millis(900), Duration::from_secs(1));
    let service = FaultyService::with_timeouts(call, request);
    service.fail_at("trim", Fault::Hangs);
    let answer = login(&json!({ "user": "42", "keep": 1 })).send(service.admin);
    let sentence = "The session store is unavailable";
    assert_envelope(&answer, 503, "Service Unavailable", sentence);
    wait_until("the new one is removed", || service.list("42").is_empty());
}

#[test]
fn a_login_whose_presented_session_is_not_confirmed_over_fails() {
    for fault in [Fault::Refuses, Fault::AppliesThenFails, Fault::Hangs] {
        let service = FaultyService::start();
        let presented = service.issue_as(&json!({ "user": "42" }));
        service.issue_as(&json!({ "user": "43" }));
        fail_at(
            &service,
            "delete",
            fault,
            presented["token"].as_str().unwrap(),
        );
        // The store that fails so cannot remove the new one either, and that is told.
        let text = "session that nobody was told of not removed";
        if fault != Fault::Hangs {
            assert_eq!(service.logged(&[text]).len(), 1, "{fault:?}");
        }
    }
}
