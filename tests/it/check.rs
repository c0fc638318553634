//! `GET|HEAD /api/auth/check`, every row of its table.

use std::time::UNIX_EPOCH;

use crate::support::envelope::assert_common_headers;
use crate::support::start::on_every_store;
use crate::support::{Ask, Service, Start, assert_envelope, unknown_token};

on_every_store! {
    a_live_session_is_204_with_its_identity_and_no_cookie,
}

fn a_live_session_is_204_with_its_identity_and_no_cookie(start: &Start) {
    let service = start.service();
    let issued = service.issue_as(&serde_json::json!({ "user": "user@example.com" }));
    let token = issued["token"].as_str().unwrap();
    let created = humantime::parse_rfc3339(issued["createdAt"].as_str().unwrap()).unwrap();
    let created = created.duration_since(UNIX_EPOCH).unwrap().as_secs();
    for method in ["GET", "HEAD"] {
        let answer = Ask::new(method, "/api/auth/check")
            .session(token)
            .send(service.public);
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(answer.header("remote-user"), Some("user@example.com"));
        assert_eq!(answer.header("remote-session"), issued["id"].as_str());
        assert_eq!(
            answer.header("remote-auth-time"),
            Some(&*created.to_string())
        );
        assert_eq!(answer.header("set-cookie"), None);
        assert_eq!(answer.header("content-length"), None);
        assert_common_headers(&answer);
    }
}

#[test]
fn a_definite_no_is_401_without_a_browser_prompt() {
    let service = Service::start();
    let unknown = format!("neptun-session={}", unknown_token(1));
    for cookie in [
        "",
        "neptun-session=",
        &unknown,
        "neptun-session=forged",
        "other=1",
    ] {
        let answer = Ask::get("/api/auth/check")
            .header("cookie", cookie)
            .send(service.public);
        assert_envelope(&answer, 401, "Unauthorized", "No valid session");
        assert_eq!(answer.header("www-authenticate"), Some("Cookie"));
        let head = Ask::new("HEAD", "/api/auth/check").header("cookie", cookie);
        let head = head.send(service.public);
        assert_eq!((head.status, head.body.as_str()), (401, ""));
    }
}

#[test]
fn several_values_pass_if_all_live_ones_belong_to_one_user() {
    let service = Service::start();
    let (mine, also_mine, foreign) = (
        service.token_of("42"),
        service.token_of("42"),
        service.token_of("43"),
    );
    let check = |tokens: &[&str]| {
        let cookies: Vec<String> = tokens
            .iter()
            .map(|t| format!("neptun-session={t}"))
            .collect();
        let ask = Ask::get("/api/auth/check").header("cookie", cookies.join("; "));
        ask.send(service.public).status
    };
    assert_eq!(check(&[&unknown_token(1), "forged", &mine]), 204);
    assert_eq!(check(&[&mine, &also_mine]), 204);
    assert_eq!(check(&[&mine, &foreign]), 401);
    assert_eq!(service.logout(&foreign).body, "true");
    assert_eq!(check(&[&mine, &foreign]), 204);
}

#[test]
fn a_method_that_a_proxy_forwards_in_a_header_is_ignored() {
    let service = Service::start();
    let token = service.token_of("42");
    for header in [
        "x-forwarded-method",
        "x-http-method-override",
        "x-original-method",
    ] {
        let ask = Ask::check(&token).header(header, "DELETE");
        assert_eq!(ask.send(service.public).status, 204);
    }
    assert!(service.is_live(&token));
}

#[test]
fn an_idle_session_ends_and_a_used_one_does_not() {
    let service = Service::with(&["--idle-timeout", "1s"]);
    let (used, idle) = (service.token_of("used"), service.token_of("idle"));
    let begun = std::time::Instant::now();
    while begun.elapsed().as_millis() < 1500 {
        assert!(service.is_live(&used), "in use after {:?}", begun.elapsed());
    }
    assert!(!service.is_live(&idle));
    assert_eq!(service.logout(&idle).body, "false");
}
