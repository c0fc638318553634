//! `POST /api/auth/logout`, every row of its table.

use crate::support::envelope::assert_common_headers;
use crate::support::start::on_every_store;
use crate::support::{Answer, Ask, Service, Start, assert_envelope, at_once, unknown_token};

on_every_store! {
    a_live_session_is_true_once_and_false_ever_after,
    of_many_simultaneous_logouts_exactly_one_is_true,
}

const CLEARING: &str = "neptun-session=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0; \
                        Expires=Thu, 01 Jan 1970 00:00:00 GMT";

fn logout() -> Ask {
    Ask::post("/api/auth/logout")
}

fn assert_done(answer: &Answer, body: &str) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body, body, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("set-cookie"), Some(CLEARING));
    assert_common_headers(answer);
}

fn assert_no_valid_session(answer: &Answer) {
    assert_envelope(answer, 401, "Unauthorized", "No valid session");
    assert_eq!(answer.header("www-authenticate"), Some("Cookie"));
}

fn a_live_session_is_true_once_and_false_ever_after(start: &Start) {
    let service = start.service();
    let token = service.token_of("42");
    assert_done(&service.logout(&token), "true");
    assert_done(&service.logout(&token), "false");
    assert!(!service.is_live(&token));
}

#[test]
fn a_legal_value_that_names_no_session_is_false() {
    let service = Service::start();
    for value in [
        "x",
        "forged",
        &unknown_token(1),
        &"a".repeat(4096),
        "%73",
        "a=b=c",
        "!#$&'()*+-./:<>?@[]^_`{|}~",
    ] {
        assert_done(&service.logout(value), "false");
    }
}

#[test]
fn no_cookie_or_no_legal_value_is_401_and_leaves_the_cookie_alone() {
    let service = Service::start();
    assert_no_valid_session(&logout().send(service.public));
    let illegal: [&[u8]; 10] = [
        b"neptun-session=",
        b"neptun-session",
        b"other=1",
        b"neptun-session=a b",
        b"neptun-session=\"quoted\"",
        b"neptun-session=a,b",
        b"neptun-session=a\\b",
        b"neptun-session=caf\xe9",
        b"neptun-session=\xff\xfe",
        b"",
    ];
    for cookie in illegal {
        let answer = logout().header("cookie", cookie).send(service.public);
        assert_no_valid_session(&answer);
    }
    assert_no_valid_session(&service.logout(&"a".repeat(4097)));
}

#[test]
fn the_cookies_name_is_compared_byte_for_byte() {
    let service = Service::start();
    let token = service.token_of("42");
    for name in [
        "Neptun-Session",
        "%6eeptun-session",
        "neptun-session ",
        "xneptun-session",
        "neptun_session",
    ] {
        let answer = logout()
            .header("cookie", format!("{name}={token}"))
            .send(service.public);
        assert_no_valid_session(&answer);
    }
    assert!(service.is_live(&token));
}

#[test]
fn every_session_presented_ends_in_one_header_or_several() {
    let service = Service::start();
    let tokens: Vec<String> = (0..4).map(|_| service.token_of("42")).collect();
    let [a, b, c, d] = [&tokens[0], &tokens[1], &tokens[2], &tokens[3]];
    let answer = logout()
        .header(
            "cookie",
            format!("neptun-session={a}; x=1; neptun-session=; neptun-session={b}"),
        )
        .header(
            "cookie",
            format!(
                "neptun-session={};neptun-session=forged;neptun-session={c}",
                unknown_token(1)
            ),
        )
        .header("cookie", format!("neptun-session={d};neptun-session={d}"))
        .send(service.public);
    assert_done(&answer, "true");
    for token in &tokens {
        assert!(!service.is_live(token));
    }
}

#[test]
fn as_many_sessions_as_the_head_holds_end_at_once() {
    let service = Service::start();
    let tokens: Vec<String> = (0..250).map(|_| service.token_of("42")).collect();
    let answer = logout().sessions(&tokens).send(service.public);
    assert_done(&answer, "true");
    assert!(tokens.iter().all(|token| !service.is_live(token)));
}

#[test]
fn a_neighbours_non_utf8_cookie_hides_nothing() {
    let service = Service::start();
    let token = service.token_of("42");
    let cookie = [
        b"a=\xff\xfe; neptun-session=",
        token.as_bytes(),
        b"; b=\xc3\x28",
    ]
    .concat();
    assert_done(
        &logout().header("cookie", cookie).send(service.public),
        "true",
    );
}

#[test]
fn a_body_and_a_query_are_ignored() {
    let service = Service::start();
    let token = service.token_of("42");
    let answer = Ask::post("/api/auth/logout?token=x&all=1")
        .session(&token)
        .json("{\"not\": \"looked at\"")
        .send(service.public);
    assert_done(&answer, "true");
}

fn of_many_simultaneous_logouts_exactly_one_is_true(start: &Start) {
    let service = start.service();
    for _round in 0..20 {
        let token = service.token_of("42");
        let answers = at_once(32, |_| service.logout(&token));
        assert!(answers.iter().all(|answer| answer.status == 200));
        let winners = answers
            .iter()
            .filter(|answer| answer.body == "true")
            .count();
        assert_eq!(winners, 1);
    }
}

#[test]
fn an_expired_session_is_false() {
    let service = Service::start();
    let issued = service.issue_as(&serde_json::json!({ "user": "42", "ttlSeconds": 1 }));
    let token = issued["token"].as_str().unwrap();
    assert!(service.is_live(token));
    // Real time, since the binary has a real clock: asked until it is over, for 5 s at most.
    let begun = std::time::Instant::now();
    while service.is_live(token) {
        assert!(
            begun.elapsed().as_secs() < 5,
            "a session of 1 s lives for 5"
        );
    }
    assert!(begun.elapsed().as_millis() > 500);
    assert_done(&service.logout(token), "false");
}

#[test]
fn the_clearing_cookie_has_the_attributes_of_the_issued_one() {
    let service = Service::with(&[
        "--cookie-name",
        "__Secure-sid",
        "--cookie-path",
        "/app",
        "--cookie-domain",
        "example.com",
        "--cookie-same-site",
        "none",
    ]);
    let issued = service.issue_as(&serde_json::json!({ "user": "42", "ttlSeconds": 60 }));
    let (token, set) = (
        issued["token"].as_str().unwrap(),
        issued["setCookie"].as_str().unwrap(),
    );
    let attributes = "; HttpOnly; SameSite=None; Secure; Path=/app; Domain=example.com; Max-Age=";
    assert_eq!(set, format!("__Secure-sid={token}{attributes}60"));
    let answer = logout()
        .header("cookie", format!("__Secure-sid={token}"))
        .send(service.public);
    let cleared = answer.header("set-cookie").unwrap();
    let expires = "; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
    assert_eq!(cleared, format!("__Secure-sid={attributes}0{expires}"));
}

#[test]
fn other_methods_and_routes_are_told_so() {
    let service = Service::start();
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = Ask::new(method, "/api/auth/logout").send(service.public);
        let sentence = "This route does not answer this method";
        assert_envelope(&answer, 405, "Method Not Allowed", sentence);
        assert_eq!(answer.header("allow"), Some("POST"));
    }
    for target in [
        "/",
        "/api/auth/logout/",
        "/api/auth",
        "/healthz",
        "/admin/sessions",
    ] {
        let answer = Ask::post(target).send(service.public);
        assert_envelope(&answer, 404, "Not Found", "No such route");
    }
}
