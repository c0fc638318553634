//! `/api/auth/sessions`: people see and end their own sessions.

use serde_json::{Value, json};

use crate::sealed::{PASSWORD, now_ms, payload, seal_of, sealed};
use crate::support::envelope::assert_common_headers;
use crate::support::faulty::{Fault, FaultyService};
use crate::support::start::on_every_store;
use crate::support::{Answer, Api, Ask, Service, Start, assert_envelope, unknown_token};

on_every_store! {
    whoever_is_logged_in_sees_their_own_sessions_and_which_is_current,
    one_session_of_ones_own_is_ended_and_none_of_anybody_else,
    all_others_are_ended_but_those_presented,
    all_are_ended_those_presented_included,
    whoever_is_not_logged_in_sees_and_ends_nothing,
    a_sealed_session_can_end_itself_and_all_but_not_the_others,
}

const OWN: &str = "/api/auth/sessions";
const OTHERS: &str = "/api/auth/sessions/others";

fn ask(api: &Api, method: &str, target: &str, token: &str) -> Answer {
    let answer = Ask::new(method, target).session(token).send(api.public);
    assert_common_headers(&answer);
    answer
}

fn clears(answer: &Answer) -> bool {
    let set = answer.header("set-cookie");
    set.is_some_and(|set| set.starts_with("neptun-session=;") && set.contains("Max-Age=0"))
}

fn whoever_is_logged_in_sees_their_own_sessions_and_which_is_current(start: &Start) {
    let service = start.service();
    let labelled = service.issue_as(&json!({ "user": "42", "label": "Firefox" }));
    let (id, token) = service.issue("42");
    service.token_of("43");
    let answer = ask(&service, "GET", OWN, &token);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("set-cookie"), None);
    let answer = answer.json();
    assert_eq!(answer["truncated"], false);
    let sessions = answer["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    let of = |id: &Value| sessions.iter().find(|one| one["id"] == *id).unwrap();
    let (current, other) = (of(&json!(id)), of(&labelled["id"]));
    assert_eq!(
        (&current["current"], &other["current"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        (&current["label"], &other["label"]),
        (&Value::Null, &json!("Firefox"))
    );
    let names: Vec<&String> = other.as_object().unwrap().keys().collect();
    let all = [
        "createdAt",
        "current",
        "expiresAt",
        "id",
        "label",
        "lastSeenAt",
    ];
    assert_eq!(names, all);
    let both = [token, labelled["token"].as_str().unwrap().to_owned()];
    let answer = Ask::get(OWN).sessions(&both).send(service.public).json();
    let sessions = answer["sessions"].as_array().unwrap();
    assert!(sessions.iter().all(|session| session["current"] == true));
}

fn one_session_of_ones_own_is_ended_and_none_of_anybody_else(start: &Start) {
    let service = start.service();
    let ((id, token), (other_id, other)) = (service.issue("42"), service.issue("42"));
    let (foreign_id, foreign) = service.issue("43");
    let end = |id: &str| ask(&service, "DELETE", &format!("{OWN}/{id}"), &token);
    let nobodys = "0".repeat(64);
    for id in [
        &*foreign_id,
        &*nobodys,
        "x",
        "%ff",
        &other_id.to_uppercase(),
    ] {
        assert_envelope(&end(id), 404, "Not Found", "No such session");
    }
    assert!(service.is_live(&foreign) && service.is_live(&other));
    let ended = end(&other_id);
    assert_eq!((ended.status, ended.header("set-cookie")), (204, None));
    assert!(!service.is_live(&other));
    assert_envelope(&end(&other_id), 404, "Not Found", "No such session");
    let ended = end(&id);
    assert_eq!((ended.status, clears(&ended)), (204, true));
    assert!(!service.is_live(&token));
    assert_eq!(service.ended_for("self"), 2);
}

fn all_others_are_ended_but_those_presented(start: &Start) {
    let service = start.service();
    let (token, also, other) = (
        service.token_of("42"),
        service.token_of("42"),
        service.token_of("42"),
    );
    let foreign = service.token_of("43");
    let presented = [token.clone(), also.clone(), unknown_token(1)];
    let answer = Ask::new("DELETE", OTHERS).sessions(&presented);
    let answer = answer.send(service.public);
    assert_eq!((answer.status, &*answer.body), (200, r#"{"revoked":1}"#));
    assert_eq!(answer.header("set-cookie"), None);
    assert!(service.is_live(&token) && service.is_live(&also) && service.is_live(&foreign));
    assert!(!service.is_live(&other));
    let answer = ask(&service, "DELETE", OTHERS, &token);
    assert_eq!(answer.body, r#"{"revoked":1}"#);
    assert!(service.is_live(&token) && !service.is_live(&also));
    assert_eq!(service.ended_for("self"), 2);
}

fn all_are_ended_those_presented_included(start: &Start) {
    let service = start.service();
    let tokens = [(); 3].map(|()| service.token_of("42"));
    let foreign = service.token_of("43");
    let answer = ask(&service, "DELETE", OWN, &tokens[0]);
    assert_eq!((answer.status, &*answer.body), (200, r#"{"revoked":3}"#));
    assert!(clears(&answer), "{answer:?}");
    assert!(!tokens.iter().any(|token| service.is_live(token)));
    assert!(service.is_live(&foreign));
    assert_eq!(service.ended_for("self"), 3);
}

const ROUTES: [(&str, &str); 4] = [
    ("GET", OWN),
    ("DELETE", OWN),
    ("DELETE", OTHERS),
    ("DELETE", "/api/auth/sessions/x"),
];

fn whoever_is_not_logged_in_sees_and_ends_nothing(start: &Start) {
    let service = start.service();
    let (one, other) = (service.token_of("42"), service.token_of("43"));
    let over = service.token_of("42");
    service.logout(&over);
    for (method, target) in ROUTES {
        let nothing = Ask::new(method, target).send(service.public);
        assert_envelope(&nothing, 401, "Unauthorized", "No valid session");
        // Of two users, it cannot be told who asks.
        for presented in [&[over.clone()][..], &[one.clone(), other.clone()]] {
            let answer = Ask::new(method, target).sessions(presented);
            let answer = answer.send(service.public);
            assert_envelope(&answer, 401, "Unauthorized", "No valid session");
            assert_eq!(answer.header("set-cookie"), None);
        }
    }
    assert!(service.is_live(&one) && service.is_live(&other));
}

fn a_sealed_session_can_end_itself_and_all_but_not_the_others(start: &Start) {
    const SENTENCE: &str =
        "You are logged in by a sealed session, which would end with the others: end all instead";
    let service = start.with(&["--sealed-password", PASSWORD]);
    let (one, two) = (sealed("one", 5), sealed("two", 5));
    let issued = service.token_of("5");
    let presented = [issued.clone(), one.clone()];
    let answer = ask(&service, "GET", OWN, &one).json();
    assert_eq!(answer["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(answer["sessions"][0]["current"], false);
    let refused = ask(&service, "DELETE", OTHERS, &one);
    assert_envelope(&refused, 409, "Conflict", SENTENCE);
    let both = Ask::new("DELETE", OTHERS).sessions(&presented);
    assert_envelope(&both.send(service.public), 409, "Conflict", SENTENCE);
    assert!(service.is_live(&one) && service.is_live(&two) && service.is_live(&issued));

    let id_of = |seal: &str| {
        let check = service.check(seal);
        check.header("remote-session").unwrap().to_owned()
    };
    let foreign = ask(&service, "DELETE", &format!("{OWN}/{}", id_of(&two)), &one);
    assert_envelope(&foreign, 404, "Not Found", "No such session");
    let own = ask(&service, "DELETE", &format!("{OWN}/{}", id_of(&one)), &one);
    assert_eq!((own.status, clears(&own)), (204, true));
    assert!(!service.is_live(&one) && service.is_live(&two));

    // An issued session's others include the seals.
    let answer = ask(&service, "DELETE", OTHERS, &issued);
    assert_eq!((answer.status, &*answer.body), (200, r#"{"revoked":0}"#));
    assert!(!service.is_live(&two) && service.is_live(&issued));
    // The web app's clock may be ahead.
    let three = seal_of(&payload("three", &json!({ "id": 5 }), now_ms() + 30_000));
    let answer = ask(&service, "DELETE", OWN, &three);
    assert_eq!((answer.status, clears(&answer)), (200, true));
    assert!(!service.is_live(&three) && !service.is_live(&issued));

    // A login may end seals as well: one by its cookie, all by keeping one.
    let four = seal_of(&payload("four", &json!({ "id": 5 }), now_ms() + 1));
    let five = sealed("five", 6);
    let cookie = format!("neptun-session={four}");
    let body = json!({ "user": "6", "cookie": cookie });
    assert_eq!(service.issue_as(&body)["ended"], 1);
    assert!(!service.is_live(&four) && service.is_live(&five));
    service.issue_as(&json!({ "user": "6", "keep": 2 }));
    assert!(service.is_live(&five));
    service.issue_as(&json!({ "user": "6", "keep": 1 }));
    assert!(!service.is_live(&five));
}

#[test]
fn a_page_of_a_foreign_origin_ends_nothing_and_one_of_an_allowed_one_may() {
    let service = Service::with(&["--allowed-origins", "https://app.example.com"]);
    let (id, token) = service.issue("42");
    let from = |origin: &str, method: &str, target: &str| {
        let ask = Ask::new(method, target).session(&token);
        let ask = ask
            .header("origin", origin)
            .header("sec-fetch-site", "cross-site");
        ask.send(service.public)
    };
    for target in [OWN, OTHERS, &format!("{OWN}/{id}")] {
        let answer = from("https://evil.example", "DELETE", target);
        assert_eq!(answer.status, 403, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    assert!(service.is_live(&token));
    for (method, target) in [("GET", OWN), ("DELETE", OTHERS), ("DELETE", OWN)] {
        let answer = from("https://app.example.com", method, target);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some("https://app.example.com")
        );
    }
}

#[test]
fn what_the_store_does_not_confirm_is_500_without_a_cookie_and_a_list_503() {
    for fault in [Fault::Refuses, Fault::AppliesThenFails, Fault::Hangs] {
        let service = FaultyService::start();
        let (id, token) = service.issue("42");
        service.token_of("42");
        service.fail(fault);
        let list = ask(&service, "GET", OWN, &token);
        let sentence = "The session store is unavailable";
        assert_envelope(&list, 503, "Service Unavailable", sentence);
        // By step: who asks, what to end, the ending.
        for (step, target) in [
            ("find", OWN.to_owned()),
            ("find", OTHERS.to_owned()),
            ("find", format!("{OWN}/{id}")),
            ("trim", OTHERS.to_owned()),
            ("trim", OWN.to_owned()),
            ("delete", OWN.to_owned()),
        ] {
            service.fail_at(step, fault);
            let answer = ask(&service, "DELETE", &target, &token);
            let sentence = "Sessions could not be revoked";
            assert_envelope(&answer, 500, "Internal Server Error", sentence);
            assert_eq!(answer.header("set-cookie"), None);
        }
        // Until its own end is confirmed, a session can try again.
        service.fail(Fault::None);
        let again = ask(&service, "DELETE", OWN, &token).status;
        let own_is_over = fault == Fault::AppliesThenFails;
        assert_eq!(again, if own_is_over { 401 } else { 200 }, "{fault:?}");
        assert!(service.list("42").is_empty());
    }
}
