//! Which web pages may call from a browser, and which may read the answers.

use crate::support::envelope::assert_common_headers;
use crate::support::faulty::{Fault, FaultyService};
use crate::support::{ADMIN_TOKEN, Answer, Ask, Connection, Service, assert_envelope};

const ALLOWED: &str = "https://app.example";
const OWN: &str = "http://localhost";

const SITES: [Option<&str>; 5] = [
    None,
    Some("same-origin"),
    Some("same-site"),
    Some("cross-site"),
    Some("none"),
];

const ORIGINS: [Option<&str>; 13] = [
    None,
    Some(OWN),
    Some(ALLOWED),
    Some("https://evil.example"),
    Some("null"),
    Some("https://app.exampl"),
    Some("https://app.example.evil.test"),
    Some("https://www.app.example"),
    Some("https://app.example:8443"),
    Some("http://app.example"),
    Some("HTTPS://APP.EXAMPLE"),
    Some("http://localhost:8080"),
    Some("http://LOCALHOST"),
];

/// Fetch Metadata decides where there is any, the `Origin` where there is none; an allowed origin
/// passes either way.
fn may_pass(site: Option<&str>, origin: Option<&str>) -> bool {
    let is_allowed = origin == Some(ALLOWED);
    match site {
        Some("same-origin" | "none") => true,
        Some(_) => is_allowed,
        None => is_allowed || origin.is_none() || origin == Some(OWN),
    }
}

fn every_pair() -> impl Iterator<Item = (Option<&'static str>, Option<&'static str>)> {
    SITES
        .into_iter()
        .flat_map(|site| ORIGINS.into_iter().map(move |origin| (site, origin)))
}

fn from_page(ask: Ask, site: Option<&str>, origin: Option<&str>) -> Ask {
    let ask = site
        .into_iter()
        .fold(ask, |ask, site| ask.header("sec-fetch-site", site));
    origin
        .into_iter()
        .fold(ask, |ask, origin| ask.header("origin", origin))
}

fn assert_refused(answer: &Answer) {
    let sentence = "Cross-origin request refused: its origin is not in allowed-origins";
    assert_envelope(answer, 403, "Forbidden", sentence);
}

fn assert_shared_with_allowed_only(answer: &Answer, origin: Option<&str>) {
    let shared = answer.header("access-control-allow-origin");
    assert_eq!(
        shared,
        (origin == Some(ALLOWED)).then_some(ALLOWED),
        "{answer:?}"
    );
    if shared.is_some() {
        let credentials = answer.header("access-control-allow-credentials");
        assert_eq!(credentials, Some("true"), "{answer:?}");
    }
    assert_eq!(answer.header("vary"), Some("Origin, Cookie"), "{answer:?}");
}

#[test]
fn a_logout_passes_or_is_refused_by_site_and_origin_and_a_refused_session_lives() {
    let service = Service::with(&["--allowed-origins", ALLOWED]);
    for (site, origin) in every_pair() {
        let token = service.token_of("42");
        let ask = Ask::logout(&token);
        let answer = from_page(ask, site, origin).send(service.public);
        let passes = may_pass(site, origin);
        if passes {
            assert_eq!(
                (answer.status, &*answer.body),
                (200, "true"),
                "{site:?} {origin:?}"
            );
        } else {
            assert_refused(&answer);
        }
        assert_eq!(service.is_live(&token), !passes, "{site:?} {origin:?}");
        assert_shared_with_allowed_only(&answer, origin);
    }
}

#[test]
fn a_refused_request_never_reaches_the_store() {
    let service = FaultyService::allowing(&[ALLOWED]);
    let token = service.token_of("42");
    service.fail(Fault::Refuses);
    for (site, origin) in every_pair() {
        let ask = Ask::logout(&token);
        let answer = from_page(ask, site, origin).send(service.public);
        // The store fails whoever gets as far as asking it.
        let expected = if may_pass(site, origin) { 500 } else { 403 };
        assert_eq!(answer.status, expected, "{site:?} {origin:?}");
        assert_shared_with_allowed_only(&answer, origin);
    }
}

#[test]
fn a_check_is_never_refused_wherever_it_comes_from() {
    let service = Service::with(&["--allowed-origins", ALLOWED]);
    let token = service.token_of("42");
    for (site, origin) in every_pair() {
        for method in ["GET", "HEAD"] {
            let ask = Ask::new(method, "/api/auth/check").session(&token);
            let answer = from_page(ask, site, origin).send(service.public);
            assert_eq!(answer.status, 204, "{site:?} {origin:?}");
            assert_shared_with_allowed_only(&answer, origin);
        }
    }
}

#[test]
fn without_allowed_origins_only_pages_of_our_own_pass() {
    let service = Service::start();
    let token = service.token_of("42");
    let logout = || Ask::logout(&token);
    assert_refused(&from_page(logout(), None, Some(ALLOWED)).send(service.public));
    assert_refused(&from_page(logout(), Some("cross-site"), None).send(service.public));
    let own = from_page(logout(), Some("same-origin"), Some(OWN)).send(service.public);
    assert_eq!(own.body, "true");
}

#[test]
fn pages_of_allowed_origins_can_read_every_error() {
    let service = Service::with(&["--allowed-origins", ALLOWED]);
    let ask = |method: &str, target: &str| from_page(Ask::new(method, target), None, Some(ALLOWED));
    let long = format!("/{}", "a".repeat(9000));
    let errors = [
        (401, ask("POST", "/api/auth/logout")),
        (401, ask("GET", "/api/auth/check")),
        (404, ask("GET", "/nowhere")),
        (405, ask("PUT", "/api/auth/logout")),
        (
            400,
            ask("GET", "/api/auth/check").header("host", "twice.test"),
        ),
        (414, ask("GET", &long)),
    ];
    for (status, ask) in errors {
        let answer = ask.send(service.public);
        assert_eq!(answer.status, status, "{answer:?}");
        assert_shared_with_allowed_only(&answer, Some(ALLOWED));
        assert_eq!(
            answer.header("access-control-expose-headers"),
            Some("x-request-id")
        );
        assert_common_headers(&answer);
    }

    let service = FaultyService::allowing(&[ALLOWED]);
    let token = service.token_of("42");
    for fault in [Fault::Refuses, Fault::Panics] {
        service.fail(fault);
        let ask = Ask::logout(&token);
        let answer = from_page(ask, None, Some(ALLOWED)).send(service.public);
        assert_eq!(answer.status, 500, "{answer:?}");
        assert_shared_with_allowed_only(&answer, Some(ALLOWED));
    }
}

fn preflight(target: &str, origin: &str) -> Ask {
    Ask::new("OPTIONS", target)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "x-request-id")
}

fn assert_other_method(answer: &Answer, allow: &str) {
    let sentence = "This route does not answer this method";
    assert_envelope(answer, 405, "Method Not Allowed", sentence);
    assert_eq!(answer.header("allow"), Some(allow));
}

const PUBLIC: [(&str, &str); 2] = [
    ("/api/auth/logout", "POST"),
    ("/api/auth/check", "GET,HEAD"),
];

#[test]
fn only_the_preflight_of_an_allowed_origin_is_answered_with_yes() {
    let service = Service::with(&["--allowed-origins", ALLOWED]);
    for (target, allow) in PUBLIC {
        for origin in ORIGINS.into_iter().flatten() {
            let answer = preflight(target, origin).send(service.public);
            assert_shared_with_allowed_only(&answer, Some(origin));
            assert_common_headers(&answer);
            if origin != ALLOWED {
                assert_other_method(&answer, allow);
                continue;
            }
            assert_eq!(answer.status, 200, "{answer:?}");
            let methods = answer.header("access-control-allow-methods").unwrap();
            assert!(methods.contains("POST"), "{answer:?}");
            let headers = answer.header("access-control-allow-headers");
            assert_eq!(headers, Some("x-request-id"), "{answer:?}");
        }
    }
}

#[test]
fn options_that_is_no_preflight_is_a_method_like_any_other() {
    let service = Service::with(&["--allowed-origins", ALLOWED]);
    let token = service.token_of("42");
    for (target, allow) in PUBLIC {
        for (site, origin) in every_pair() {
            let ask = Ask::new("OPTIONS", target).session(&token);
            let answer = from_page(ask, site, origin).send(service.public);
            assert_other_method(&answer, allow);
        }
        // Nothing but the header that names a method makes a preflight.
        let ask = Ask::new("OPTIONS", target)
            .header("origin", ALLOWED)
            .header("access-control-request-headers", "x-request-id");
        assert_other_method(&ask.send(service.public), allow);
    }
}

#[test]
fn the_admin_listener_answers_no_preflight() {
    let service = Service::with(&["--allowed-origins", ALLOWED]);
    for (target, allow) in [
        ("/admin/sessions", "POST"),
        ("/admin/sessions/x", "GET,HEAD,DELETE"),
        ("/admin/users/42/sessions", "GET,HEAD,DELETE"),
        ("/healthz", "GET,HEAD"),
        ("/readyz", "GET,HEAD"),
        ("/metrics", "GET,HEAD"),
        ("/openapi.json", "GET,HEAD"),
        ("/docs", "GET,HEAD"),
    ] {
        let token = format!("Bearer {ADMIN_TOKEN}");
        let ask = preflight(target, ALLOWED).header("authorization", token);
        assert_other_method(&ask.send(service.admin), allow);
    }
}

#[test]
fn a_full_url_is_compared_by_its_own_host() {
    let service = Service::start();
    let token = service.token_of("42");
    let ask = Ask::post("http://full.test/api/auth/logout").session(&token);
    let mut connection = Connection::open(service.public);
    assert_refused(&connection.ask(&ask.clone().header("origin", OWN)));
    assert_eq!(
        connection
            .ask(&ask.header("origin", "http://full.test"))
            .body,
        "true"
    );
}
