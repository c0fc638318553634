//! `--sessions-since`: everybody out who has not logged in since.

use serde_json::{Value, json};

use crate::sealed::mint::seal;
use crate::support::start::on_stores;
use crate::support::{Ask, Service, Start};

// A store in memory has forgotten them anyway.
on_stores! { [file redis valkey] [
    sessions_made_before_the_moment_are_over_and_those_made_at_it_are_live
] }

const PASSWORD: &str = "the-web-apps-own-session-password";

fn text<'a>(issued: &'a Value, name: &str) -> &'a str {
    issued[name].as_str().unwrap()
}

/// A session of the user, made later than `other`.
fn issued_after(service: &Service, user: &str, other: &Value) -> Value {
    loop {
        let issued = service.issue_as(&json!({ "user": user }));
        if text(&issued, "createdAt") > text(other, "createdAt") {
            return issued;
        }
        let path = format!("/admin/sessions/{}", text(&issued, "id"));
        assert_eq!(service.ask_admin("DELETE", &path).status, 204);
    }
}

fn sessions_made_before_the_moment_are_over_and_those_made_at_it_are_live(start: &Start) {
    let service = start.service();
    let old = ["42", "42", "43"].map(|user| service.issue_as(&json!({ "user": user })));
    let young = issued_after(&service, "42", &old[2]);
    service.stop();

    let since = text(&young, "createdAt");
    let service = start.with(&["--sessions-since", since]);
    assert!(service.is_live(text(&young, "token")));
    for one in &old {
        assert!(!service.is_live(text(one, "token")));
    }
    assert_eq!(service.logout(text(&old[0], "token")).body, "false");
    let listed = Ask::list("42").send(service.admin).json();
    let ids: Vec<&str> = listed["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| text(one, "id"))
        .collect();
    assert_eq!(ids, [text(&young, "id")]);
    let path = format!("/admin/sessions/{}", text(&old[1], "id"));
    assert_eq!(service.ask_admin("DELETE", &path).status, 404);
    for (user, count) in [("43", 0), ("42", 1)] {
        let revoked = service.ask_admin("DELETE", &format!("/admin/users/{user}/sessions"));
        assert_eq!(revoked.json(), json!({ "revoked": count }));
    }
}

#[test]
fn seals_made_before_the_moment_are_over_and_those_made_at_it_are_live() {
    let since = "2026-01-02T03:04:05.678Z";
    let service = Service::with(&[
        "--sealed-password",
        PASSWORD,
        "--session-ttl",
        "36500d",
        "--sessions-since",
        since,
    ]);
    let at = humantime::parse_rfc3339(since).unwrap();
    let at = at.duration_since(std::time::UNIX_EPOCH).unwrap();
    let at = i64::try_from(at.as_millis()).unwrap();
    let seal_of = |id: &str, created_at: i64| {
        let payload = json!({ "id": id, "createdAt": created_at, "data": { "user": { "id": 5 } } });
        seal(PASSWORD, &payload.to_string(), None)
    };
    let (old, young) = (seal_of("old", at - 1), seal_of("young", at));
    assert!(!service.is_live(&old) && service.is_live(&young));
    // The web app would take it, so it is not passed over.
    let both = format!("neptun-session={young}; neptun-session={old}");
    let check = Ask::get("/api/auth/check").header("cookie", both);
    assert_eq!(check.send(service.public).status, 401);
    assert_eq!(service.logout(&old).body, "false");
    assert_eq!(service.logout(&young).body, "true");
}
