//! The admin listener: who may, what is legal, what is answered.

use std::net::SocketAddr;

use crate::support::faulty::FaultyService;
use crate::support::service::binary;
use crate::support::start::on_every_store;
use crate::support::{ADMIN_TOKEN, Answer, Ask, Connection, Service, Start, assert_envelope};

on_every_store! {
    a_users_sessions_are_listed_and_revoked_one_by_one_or_all_at_once,
}

const BAD_USER: &str =
    "A user is 1 to 256 bytes of printable ASCII without leading or trailing space";
const BAD_SHAPE: &str = "The body is not of the documented shape";

#[test]
fn issuing_answers_201_with_all_a_login_backend_needs() {
    let service = Service::start();
    let issued = service.issue_as(&serde_json::json!({ "user": "42", "ttlSeconds": 3600 }));
    let token = issued["token"].as_str().unwrap();
    assert_eq!(token.len(), 43);
    assert_eq!(issued["user"], "42");
    assert_eq!(issued["id"].as_str().unwrap().len(), 64);
    let set =
        format!("neptun-session={token}; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=3600");
    assert_eq!(issued["setCookie"], set);
    for moment in ["createdAt", "expiresAt"] {
        let text = issued[moment].as_str().unwrap();
        assert!(text.ends_with('Z') && text.as_bytes()[10] == b'T', "{text}");
    }
    assert_eq!(issued["ended"], 0);
    assert_eq!(issued.as_object().unwrap().len(), 7);
}

fn a_users_sessions_are_listed_and_revoked_one_by_one_or_all_at_once(start: &Start) {
    let service = start.service();
    let issued: Vec<_> = (0..3)
        .map(|_| service.issue_as(&serde_json::json!({ "user": "a b/c" })))
        .collect();
    let other = service.token_of("other");
    let target = "/admin/users/a%20b%2Fc/sessions";

    let listed = service.ask_admin("GET", target).json();
    let listed = listed["sessions"].as_array().unwrap();
    assert_eq!(listed.len(), 3);
    assert!(
        issued
            .iter()
            .all(|one| listed.iter().any(|known| known["id"] == one["id"]))
    );
    let names: Vec<&String> = listed[0].as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        ["createdAt", "expiresAt", "id", "lastSeenAt", "user"]
    );

    let one = format!("/admin/sessions/{}", issued[0]["id"].as_str().unwrap());
    let shown = service.ask_admin("GET", &one);
    assert_eq!(shown.status, 200);
    assert!(listed.contains(&shown.json()), "{shown:?}");
    assert_eq!(service.ask_admin("DELETE", &one).status, 204);
    assert_envelope(
        &service.ask_admin("DELETE", &one),
        404,
        "Not Found",
        "No such session",
    );
    let odd = service.ask_admin("DELETE", "/admin/sessions/not-an-id");
    assert_envelope(&odd, 404, "Not Found", "No such session");
    for gone in [one.as_str(), "/admin/sessions/not-an-id"] {
        let shown = service.ask_admin("GET", gone);
        assert_envelope(&shown, 404, "Not Found", "No such session");
    }

    let revoked = service.ask_admin("DELETE", target);
    assert_eq!(revoked.json(), serde_json::json!({ "revoked": 2 }));
    assert_eq!(
        service.ask_admin("DELETE", target).json(),
        serde_json::json!({ "revoked": 0 })
    );
    assert!(
        issued
            .iter()
            .all(|one| !service.is_live(one["token"].as_str().unwrap()))
    );
    assert!(service.is_live(&other));
}

#[test]
fn a_wrong_token_is_401_everywhere_under_admin() {
    let service = Service::start();
    let routes = [
        ("POST", "/admin/sessions"),
        ("DELETE", "/admin/sessions/x"),
        ("GET", "/admin/users/42/sessions"),
        ("DELETE", "/admin/users/42/sessions"),
    ];
    let wrong = [
        "Bearer wrong-wrong-wrong-wrong".to_owned(),
        format!("Basic {ADMIN_TOKEN}"),
        ADMIN_TOKEN.to_owned(),
        format!("Bearer{ADMIN_TOKEN}"),
        format!("Bearer {}", &ADMIN_TOKEN[1..]),
        "Bearer ".to_owned(),
    ];
    for (method, target) in routes {
        for header in &wrong {
            let answer = Ask::new(method, target).header("authorization", header);
            let answer = answer.send(service.admin);
            assert_envelope(
                &answer,
                401,
                "Unauthorized",
                "A valid admin token is needed",
            );
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
        assert_eq!(Ask::new(method, target).send(service.admin).status, 401);
    }
}

#[test]
fn without_a_configured_token_the_routes_are_403_and_the_log_says_what_to_set() {
    let mut service = Service::spawn(crate::support::service::binary());
    let line = service.wait_for_line("no admin token is set");
    assert!(line.contains("--admin-token-file"), "{line}");
    let answer = service.ask_admin("POST", "/admin/sessions");
    let sentence = "The admin API is off: no admin-token is set";
    assert_envelope(&answer, 403, "Forbidden", sentence);
    assert_eq!(service.status_of("/healthz"), 200);
    assert_eq!(service.status_of("/readyz"), 200);
}

#[test]
fn a_bad_request_to_issue_is_a_4xx_envelope_and_issues_nothing() {
    const BAD_TTL: &str = "ttlSeconds must be from 1 to 3153600000";
    let service = Service::start();
    let refuse = |body: &str, status, reason, sentence: &str| {
        let ask = Ask::authorized("POST", "/admin/sessions").json(body);
        assert_envelope(&ask.send(service.admin), status, reason, sentence);
    };
    for body in [
        "",
        r#"{"user":"#,
        "nonsense",
        r#"{"user":"42"} x"#,
        r#"["a",60"#,
        r#"{"user":42,}"#,
    ] {
        refuse(body, 400, "Bad Request", "The body is not valid JSON");
    }
    let long = format!(r#"{{"user":"{}"}}"#, "u".repeat(5000));
    let deep = format!(r#"{{"user":{}{}}}"#, "[".repeat(3000), "]".repeat(3000));
    let long_name = format!(r#"{{"{}":1}}"#, "n".repeat(5000));
    let long_name_shown = format!("{}\u{2026}: no such field", "n".repeat(64));
    for (body, sentence) in [
        ("null", BAD_SHAPE),
        ("[]", BAD_SHAPE),
        (r#"["a",60]"#, BAD_SHAPE),
        (r#""a""#, BAD_SHAPE),
        ("{}", "user: is missing"),
        (r#"{"ttlSeconds":60}"#, "user: is missing"),
        (r#"{"user":42}"#, "user: must be a string"),
        (r#"{"user":null}"#, "user: must be a string"),
        (r#"{"user":{"id":42}}"#, "user: must be a string"),
        (&deep, "user: must be a string"),
        (r#"{"ttl":60}"#, "ttl: no such field"),
        (r#"{"user":"42","role":"x"}"#, "role: no such field"),
        (r#"{"user":"42","User":"42"}"#, "User: no such field"),
        (
            r#"{"user":"42","ttl_seconds":60}"#,
            "ttl_seconds: no such field",
        ),
        (r#"{"a\nb\u202e":1}"#, "a\\nb\\u{202e}: no such field"),
        (&long_name, &long_name_shown),
        (
            r#"{"$serde_json::private::RawValue":"{}"}"#,
            "$serde_json::private::RawValue: no such field",
        ),
        (r#"{"user":"42","user":"43"}"#, "user: given twice"),
        (r#"{"user":"42","us\u0065r":"42"}"#, "user: given twice"),
        (
            r#"{"user":"42","ttlSeconds":"60"}"#,
            "ttlSeconds: must be a whole number",
        ),
        (
            r#"{"user":"42","ttlSeconds":1.5}"#,
            "ttlSeconds: must be a whole number",
        ),
        (
            r#"{"user":"42","ttlSeconds":true}"#,
            "ttlSeconds: must be a whole number",
        ),
        (
            r#"{"user":"42","ttlSeconds":[60]}"#,
            "ttlSeconds: must be a whole number",
        ),
        (r#"{"user":"42","ttlSeconds":0}"#, BAD_TTL),
        (r#"{"user":"42","ttlSeconds":-1}"#, BAD_TTL),
        (r#"{"user":"42","ttlSeconds":3153600001}"#, BAD_TTL),
        (r#"{"user":"42","ttlSeconds":1e300}"#, BAD_TTL),
        (r#"{"user":"42","ttlSeconds":1e999}"#, BAD_TTL),
        (
            r#"{"user":"42","ttlSeconds":99999999999999999999}"#,
            BAD_TTL,
        ),
        (r#"{"user":""}"#, BAD_USER),
        (r#"{"user":" 42"}"#, BAD_USER),
        (r#"{"user":"a\u0000b"}"#, BAD_USER),
        (r#"{"user":"a\r\nx: y"}"#, BAD_USER),
        (r#"{"user":"\u00e4"}"#, BAD_USER),
        (&long, BAD_USER),
        (
            r#"{"user":"."}"#,
            "user: must not be . or .., which no URL can name",
        ),
        (
            r#"{"user":"\u002e."}"#,
            "user: must not be . or .., which no URL can name",
        ),
    ] {
        refuse(body, 422, "Unprocessable Entity", sentence);
    }
    assert!(service.list("42").is_empty());
}

#[test]
fn users_that_begin_with_dots_or_hold_them_are_users_like_any_other() {
    let service = Service::start();
    for user in ["...", ".a", "a.", "..b", "a.b"] {
        service.token_of(user);
        assert_eq!(service.revoke_all(user), 1, "{user}");
    }
}

#[test]
fn a_session_that_a_store_holds_of_a_user_that_no_url_can_name_can_still_be_ended() {
    let service = FaultyService::start();
    let tokens = [".", ".."].map(|user| service.token_of(user));
    for (token, target) in tokens.iter().zip([".", "%2e%2e"]) {
        assert_eq!(service.revoke_all(target), 1);
        assert!(!service.is_live(token));
    }
}

#[test]
fn a_whole_number_of_seconds_may_be_written_in_any_way_json_has() {
    let service = Service::start();
    for seconds in ["3600", "3600.0", "3.6e3", "null"] {
        let body = format!("{{\"user\":\"42\",\"ttlSeconds\":{seconds}}}");
        let ask = Ask::authorized("POST", "/admin/sessions").json(&body);
        let answer = ask.send(service.admin);
        assert_eq!(answer.status, 201, "{answer:?}");
        let max_age = if seconds == "null" { 604_800 } else { 3600 };
        let set = answer.json()["setCookie"].to_string();
        assert!(set.contains(&format!("Max-Age={max_age}")), "{set}");
    }
}

#[test]
fn a_body_must_be_json_by_its_type_and_not_too_large() {
    let service = Service::start();
    let ask = || Ask::authorized("POST", "/admin/sessions");
    let answer = ask().body("{\"user\":\"42\"}").send(service.admin);
    let sentence = "The body must be application/json";
    assert_envelope(&answer, 415, "Unsupported Media Type", sentence);
    let large = format!("{{\"user\":\"{}\"}}", "u".repeat(64 * 1024));
    let answer = ask().json(&large).send(service.admin);
    assert_envelope(&answer, 413, "Payload Too Large", "The body is too large");
}

#[test]
fn a_full_store_refuses_to_issue_and_keeps_every_live_session() {
    let service = Service::with(&["--max-sessions", "2"]);
    let (one, two) = (service.token_of("1"), service.token_of("2"));
    let ask = Ask::login("3");
    let answer = ask.send(service.admin);
    assert_envelope(
        &answer,
        503,
        "Service Unavailable",
        "The session store is full",
    );
    assert!(service.is_live(&one) && service.is_live(&two));
    assert_eq!(service.logout(&one).body, "true");
    assert_eq!(ask.send(service.admin).status, 201);
}

/// Asks for `target` by the name of `host`, or by none.
fn called(admin: SocketAddr, version: &str, target: &str, host: Option<&str>) -> Answer {
    let host = host.map(|host| format!("host: {host}\r\n"));
    let host = host.unwrap_or_default();
    let mut connection = Connection::open(admin);
    let token = format!("authorization: Bearer {ADMIN_TOKEN}\r\n");
    connection.write(format!("GET {target} {version}\r\n{host}{token}\r\n").as_bytes());
    connection.answer_to("GET")
}

fn assert_foreign(answer: &Answer) {
    let sentence = "This listener answers only to localhost, 127.0.0.1 and [::1]";
    assert_envelope(answer, 403, "Forbidden", sentence);
}

#[test]
fn a_listener_on_a_loopback_address_answers_to_no_name_that_a_web_page_can_have() {
    let service = Service::start();
    let call = |target: &str, host| called(service.admin, "HTTP/1.1", target, Some(host));
    let rebound = format!("evil.example:{}", service.admin.port());
    for (target, status) in [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/openapi.json", 200),
        ("/docs", 200),
        ("/admin/users/42/sessions", 200),
        ("/admin/sessions", 405),
        ("/nowhere", 404),
    ] {
        assert_foreign(&call(target, &rebound));
        for own in [
            "localhost",
            "App.LocalHost.:1",
            "127.0.0.2:8081",
            "[::1]:8081",
        ] {
            assert_eq!(call(target, own).status, status, "{target} {own}");
        }
    }
    for foreign in ["", "0.0.0.0", "localhost.evil.example", "[::]", "\u{e4}"] {
        assert_foreign(&call("/metrics", foreign));
    }
}

#[test]
fn a_target_that_is_a_whole_url_says_the_name_in_place_of_the_header() {
    let service = Service::start();
    let call = |target: &str, host| called(service.admin, "HTTP/1.1", target, Some(host));
    assert_foreign(&call("http://evil.example/metrics", "localhost"));
    assert_eq!(call("http://localhost/metrics", "evil.example").status, 200);
}

#[test]
fn http_1_0_needs_no_name() {
    let service = Service::start();
    let call = |target: &str, host| called(service.admin, "HTTP/1.0", target, host);
    assert_eq!(call("/metrics", None).status, 200);
    assert_eq!(call("/metrics", Some("localhost")).status, 200);
    assert_foreign(&call("/metrics", Some("evil.example")));
    assert_foreign(&call("http://evil.example/metrics", None));
}

#[test]
fn the_address_that_is_bound_decides_who_may_call() {
    let start = |admin: &str| {
        let mut command = binary();
        command.args(["--admin-token", ADMIN_TOKEN]);
        command.args(["--listen", "127.0.0.1:0", "--admin-listen", admin]);
        Service::started(command)
    };
    for address in ["localhost:0", "[::ffff:127.0.0.1]:0"] {
        let loopback = start(address);
        let answer = called(loopback.admin, "HTTP/1.1", "/metrics", Some("evil.example"));
        assert_foreign(&answer);
    }
    let open = start("0.0.0.0:0");
    let admin = SocketAddr::from(([127, 0, 0, 1], open.admin.port()));
    let answer = called(admin, "HTTP/1.1", "/metrics", Some("metrics.internal:9090"));
    assert_eq!(answer.status, 200);
}
