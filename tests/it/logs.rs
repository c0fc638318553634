//! What the log says, and what it never says.

use serde_json::Value;

use crate::support::{ADMIN_TOKEN, Ask, Service, lines_with, parsed};

fn ended(log: &[String]) -> Vec<Value> {
    parsed(&lines_with(log, &["\"session ended\""]))
}

#[test]
fn each_ended_session_leaves_one_line_with_its_id_user_and_reason() {
    let service = Service::start();
    let issue = |user: &str| service.issue_as(&serde_json::json!({ "user": user }));
    let (one, two, three) = (issue("logs out"), issue("by admin"), issue("everywhere"));
    let ask = Ask::post("/api/auth/logout").header("x-request-id", "call-me-42");
    let ask = ask.session(one["token"].as_str().unwrap());
    assert_eq!(
        ask.send(service.public).header("x-request-id"),
        Some("call-me-42")
    );
    assert_eq!(service.logout(one["token"].as_str().unwrap()).body, "false");
    let ask = Ask::revoke(two["id"].as_str().unwrap());
    assert_eq!(ask.send(service.admin).status, 204);
    assert_eq!(service.revoke_all("everywhere"), 1);

    let (status, log) = service.stop();
    assert_eq!(status.code(), Some(0));
    let lines = ended(&log);
    assert_eq!(lines.len(), 3, "{log:#?}");
    let expected = [(&one, "logout"), (&two, "admin"), (&three, "user")];
    for (line, (issued, reason)) in lines.iter().zip(expected) {
        assert_eq!(line["session"], issued["id"]);
        assert_eq!(line["user"], issued["user"]);
        assert_eq!(line["reason"], reason);
        assert_eq!(line["level"], "INFO");
        assert!(line["requestId"].as_str().is_some_and(|id| !id.is_empty()));
    }
    assert_eq!(lines[0]["requestId"], "call-me-42");
}

#[test]
fn no_line_at_any_level_shows_a_token_or_a_secret() {
    let service = Service::with(&["--log", "trace"]);
    let tokens: Vec<String> = (0..3).map(|_| service.token_of("42")).collect();
    for token in &tokens {
        service.check(token);
        service.logout(token);
        service.logout(token);
    }
    service.logout("a-forged-token-value");
    let wrong =
        Ask::get("/admin/users/42/sessions").header("authorization", "Bearer wrong-admin-token");
    wrong.send(service.admin);
    let (_, log) = service.stop();
    assert_eq!(ended(&log).len(), 3);
    for line in log {
        for secret in tokens.iter().map(String::as_str).chain([
            ADMIN_TOKEN,
            "a-forged-token-value",
            "wrong-admin-token",
        ]) {
            assert!(!line.contains(secret), "{line}");
        }
    }
}

#[test]
fn the_start_line_tells_addresses_store_and_what_is_not_default() {
    let service = Service::with(&["--session-ttl", "8h", "--header-timeout", "10s"]);
    let (public, admin) = (service.public.to_string(), service.admin.to_string());
    let (_, log) = service.stop();
    let up: Value = serde_json::from_str(&log[0]).unwrap();
    assert_eq!(up["listen"], public);
    assert_eq!(up["admin_listen"], admin);
    assert_eq!(up["store"], "memory:");
    let settings = up["settings"].as_str().unwrap();
    assert!(settings.contains("session-ttl=8h") && settings.contains("admin-token=(redacted)"));
    assert!(
        !settings.contains("header-timeout"),
        "that is the default: {settings}"
    );
    let told = lines_with(&log, &["restart forgets every session"]);
    assert_eq!(told.len(), 1, "{log:#?}");
}

#[test]
fn an_insane_request_id_is_replaced() {
    let service = Service::start();
    for insane in ["", "a b", "caf\u{e9}", &"x".repeat(129)] {
        let answer = Ask::get("/api/auth/check")
            .header("x-request-id", insane)
            .send(service.public);
        let id = answer.header("x-request-id").unwrap();
        assert!(id.len() == 32 && id != insane, "{id}");
    }
    let longest = "x".repeat(128);
    let answer = Ask::get("/nowhere")
        .header("x-request-id", &longest)
        .send(service.public);
    assert_eq!(answer.header("x-request-id"), Some(longest.as_str()));
}
