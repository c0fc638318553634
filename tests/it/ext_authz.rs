//! `ANY /api/auth/ext-authz` and below: check as Envoy and the Gateway API ask it.

use std::time::Duration;

use crate::sealed::mint;
use crate::support::envelope::assert_common_headers;
use crate::support::faulty::{Fault, FaultyService};
use crate::support::service::binary;
use crate::support::{Answer, Ask, Connection, Service, assert_envelope};

const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND",
];

const PREFIX: &str = "/api/auth/ext-authz";

/// What an app may be asked for, in the place where a proxy puts it.
fn targets() -> Vec<String> {
    let below = [
        "",
        "/",
        "?a=b",
        "/page?a=b&c=%00%ff",
        "//",
        "/../../admin/sessions",
        "/%2e%2e/%2F{id}",
        "/api/auth/logout",
        "/*",
        "/a;b=c:d@e",
    ];
    below.map(|path| format!("{PREFIX}{path}")).to_vec()
}

fn assert_yes(answer: &Answer, id: &str) {
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, ""),
        "{answer:?}"
    );
    assert_eq!(answer.header("content-length"), Some("0"));
    assert_eq!(answer.header("remote-user"), Some("42"));
    assert_eq!(answer.header("remote-session"), Some(id));
    assert!(answer.header("remote-auth-time").is_some());
    assert_eq!(answer.header("set-cookie"), None);
    assert_common_headers(answer);
}

#[test]
fn every_method_and_every_path_below_is_answered_as_check_is_but_with_200() {
    let service = Service::start();
    let issued = service.issue_as(&serde_json::json!({ "user": "42" }));
    let (token, id) = (issued["token"].as_str().unwrap(), issued["id"].as_str());
    let long = format!("{PREFIX}/{}", "a".repeat(12 * 1024));
    for target in targets().iter().chain([&long]) {
        for method in METHODS {
            let ask = |token| Ask::new(method, target).session(token).send(service.public);
            println!("{method} {target}");
            assert_yes(&ask(token), id.unwrap());
            let no = ask("forged");
            assert_eq!(no.header("www-authenticate"), Some("Cookie"));
            if method == "HEAD" {
                assert_eq!((no.status, no.body.as_str()), (401, ""));
            } else {
                assert_envelope(&no, 401, "Unauthorized", "No valid session");
            }
        }
    }
    assert!(service.is_live(token), "nothing was changed");
    for beside in ["/api/auth/ext-authz2", "/api/auth/ext-auth", "/ext-authz"] {
        let answer = Ask::get(beside).session(token).send(service.public);
        assert_eq!(answer.status, 404, "{beside}");
    }
}

#[test]
fn a_foreign_origin_and_a_preflight_are_the_apps_business() {
    let allowed = "https://app.example";
    let service = Service::with(&["--allowed-origins", allowed]);
    let issued = service.issue_as(&serde_json::json!({ "user": "42" }));
    let (token, id) = (issued["token"].as_str().unwrap(), issued["id"].as_str());
    for origin in [allowed, "https://evil.example", "null"] {
        for method in METHODS {
            let ask = Ask::new(method, &format!("{PREFIX}/api/things"))
                .header("origin", origin)
                .header("sec-fetch-site", "cross-site")
                .header("access-control-request-method", "PUT");
            let yes = ask.clone().session(token).send(service.public);
            assert_yes(&yes, id.unwrap());
            let no = ask.send(service.public);
            assert_eq!(no.status, 401, "{method} {origin} {no:?}");
            for (name, _) in yes.headers.iter().chain(&no.headers) {
                assert!(!name.starts_with("access-control-"), "{name}");
            }
        }
    }
}

#[test]
fn a_body_is_never_waited_for() {
    let service = Service::start();
    let token = service.token_of("42");
    let ask = Ask::post(PREFIX)
        .session(&token)
        .header("content-length", "20000000");
    let begun = std::time::Instant::now();
    assert_eq!(ask.send(service.public).status, 200);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn when_the_store_cannot_tell_it_is_503_and_never_a_no() {
    let service = FaultyService::start();
    let token = service.token_of("42");
    let ask = Ask::new("PUT", &format!("{PREFIX}/page")).session(&token);
    service.fail(Fault::Refuses);
    let answer = ask.send(service.public);
    let sentence = "The session store is unavailable";
    assert_envelope(&answer, 503, "Service Unavailable", sentence);
    service.fail(Fault::None);
    assert_eq!(ask.send(service.public).status, 200);
}

#[test]
fn a_seal_in_its_header_is_read() {
    const PASSWORD: &str = "the-web-apps-own-session-password";
    let mut command = binary();
    command.env("NUXT_SESSION_PASSWORD", PASSWORD);
    let service = Service::spawn(command);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = u64::try_from(now.unwrap().as_millis()).unwrap();
    let data = serde_json::json!({ "user": { "id": 42 } });
    let payload = serde_json::json!({ "id": "one", "createdAt": now, "data": data });
    let seal = mint::seal(PASSWORD, &payload.to_string(), None);
    let ask = Ask::post(PREFIX).header("x-neptun-session-session", seal);
    let answer = ask.send(service.public);
    assert_eq!(
        (answer.status, answer.header("remote-user")),
        (200, Some("42"))
    );
}

#[test]
fn it_counts_with_the_checks_and_neither_method_nor_path_is_a_label_or_logged() {
    let mut service = Service::with(&["--log", "trace"]);
    let token = service.token_of("42");
    let mut connection = Connection::open(service.public);
    for method in ["PUT", "OPTIONS", "GET"] {
        let ask = Ask::new(method, &format!("{PREFIX}/secret-page?secret=query"));
        assert_eq!(connection.ask(&ask.clone().session(&token)).status, 200);
        assert_eq!(connection.ask(&ask).status, 401);
    }
    let metrics = Ask::get("/metrics").send(service.admin).body;
    for count in [
        "neptun_auth_checks_total{outcome=\"active\"} 3",
        "neptun_auth_checks_total{outcome=\"denied\"} 3",
        "neptun_auth_http_requests_total{route=\"/api/auth/ext-authz\",method=\"other\",status=\"200\"} 3",
        "neptun_auth_http_requests_total{route=\"/api/auth/ext-authz\",method=\"other\",status=\"401\"} 3",
        "neptun_auth_http_requests_total{route=\"/api/auth/ext-authz\",method=\"other\",status=\"503\"} 0",
    ] {
        assert!(metrics.lines().any(|line| line == count), "{count}");
    }
    assert!(!metrics.contains("secret"));
    let (_, log) = {
        service.logged();
        service.stop()
    };
    assert!(!log.iter().any(|line| line.contains("secret")), "{log:#?}");
}
