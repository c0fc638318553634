//! Which seals are sessions and where they are looked for: the service must end whatever h3 takes
//! for a session, and bar what it cannot end.

use serde_json::{Value, json};

use super::mint::{Salts, base64url, seal_bytes, sign};
use super::{PASSWORD, now_ms, seal_of, sealed};
use crate::support::{Ask, Service};

const SALTS: Salts<'static> = Salts {
    enc: "enc",
    iv: [7; 16],
    mac: "mac",
};

fn with(more: &[&str]) -> Service {
    Service::with(&[&["--sealed-password", PASSWORD], more].concat())
}

fn of(payload: &Value) -> String {
    seal_of(&payload.to_string())
}

/// Seals of logged-in sessions that cannot be told apart from others, or of nothing readable.
fn malformed() -> Vec<String> {
    let data = json!({ "user": { "id": 5 } });
    let now = now_ms();
    let not_decrypted = format!(
        "Fe26.2**enc*{}*{}*",
        base64url(&[7; 16]),
        base64url(&[0; 16])
    );
    vec![
        of(&json!({ "id": 5, "createdAt": now, "data": data })),
        of(&json!({ "id": ["one"], "createdAt": now, "data": data })),
        of(&json!({ "id": "", "createdAt": now, "data": data })),
        of(&json!({ "createdAt": now, "data": data })),
        of(&json!({ "id": "one", "data": data })),
        of(&json!({ "id": "one", "createdAt": now.to_string(), "data": data })),
        seal_of("{\"id\":\"one\""),
        seal_of(""),
        seal_bytes(PASSWORD, b"{\"id\":\"\xff\"}", "", &SALTS),
        sign(PASSWORD, &not_decrypted, "mac"),
    ]
}

#[test]
fn a_malformed_seal_bars_the_check_and_is_false_at_logout() {
    let service = with(&[]);
    let live = sealed("live", 5);
    for seal in malformed() {
        let answer = service.logout(&seal);
        assert_eq!((answer.status, answer.body.as_str()), (200, "false"));
        assert!(!service.is_live(&seal));
        for [first, second] in [[&live, &seal], [&seal, &live]] {
            let both = format!("{first}; neptun-session={second}");
            assert!(!service.is_live(&both), "{seal}");
            let header = Ask::get("/api/auth/check").header("x-neptun-session-session", first);
            let answer = header.session(second).send(service.public);
            assert_eq!(answer.status, 401, "{seal}");
        }
        assert!(service.is_live(&live));
    }
}

#[test]
fn a_malformed_seal_does_not_keep_a_live_one_from_being_ended() {
    let service = with(&[]);
    for (number, seal) in malformed().iter().enumerate() {
        let live = sealed(&format!("live-{number}"), 5);
        let both = format!("{seal}; neptun-session={live}");
        assert_eq!(service.logout(&both).body, "true", "{seal}");
        assert_eq!(service.logout(&both).body, "false", "{seal}");
        assert!(!service.is_live(&live));
    }
}

#[test]
fn a_user_found_by_the_pointer_needs_no_data_user() {
    let service = with(&["--sealed-user", "/data/account/id"]);
    let of = |id: &str, account: Value| {
        of(&json!({ "id": id, "createdAt": now_ms(), "data": { "account": account } }))
    };
    let named = of("named", json!({ "id": "a" }));
    assert_eq!(service.check(&named).header("remote-user"), Some("a"));
    assert_eq!(service.logout(&named).body, "true");
    assert!(!service.is_live(&named));

    let everywhere = of("everywhere", json!({ "id": "b" }));
    assert!(service.is_live(&everywhere));
    service.revoke_all("b");
    assert!(!service.is_live(&everywhere));

    let live = of("live", json!({ "id": "a" }));
    for nameless in [of("nameless", json!({ "id": {} })), sealed("data-user", 5)] {
        let both = format!("{live}; neptun-session={nameless}");
        assert!(!service.is_live(&nameless) && !service.is_live(&both));
        assert_eq!(service.logout(&nameless).body, "true");
    }
    let anonymous = of("anonymous", json!({}));
    assert!(service.is_live(&format!("{live}; neptun-session={anonymous}")));
    assert_eq!(service.logout(&anonymous).body, "false");
}

#[test]
fn logout_and_sign_out_end_the_seal_in_the_header_that_h3_reads_first() {
    let service = with(&[]);
    let in_header = |method, target, seal: &str| {
        Ask::new(method, target).header("X-Neptun-Session-Session", seal)
    };
    for (method, target, body) in [
        ("POST", "/api/auth/logout", "true"),
        ("DELETE", "/api/_auth/session", r#"{"loggedOut":true}"#),
    ] {
        let alone = sealed(&format!("alone-{method}"), 5);
        assert!(service.is_live(&alone));
        let answer = in_header(method, target, &alone).send(service.public);
        assert_eq!((answer.status, answer.body.as_str()), (200, body));
        assert!(!service.is_live(&alone));

        let (header, cookie) = (
            sealed(&format!("header-{method}"), 5),
            sealed(&format!("cookie-{method}"), 5),
        );
        let ask = in_header(method, target, &header).session(&cookie);
        assert_eq!(ask.send(service.public).body, body);
        assert!(!service.is_live(&header) && !service.is_live(&cookie));
    }
    // Node reads a header as Latin-1, so that a seal may have a password id that is no ASCII.
    let anew = sealed("latin-1", 5);
    let six = anew
        .rsplitn(3, '*')
        .nth(2)
        .unwrap()
        .replacen("**", "*é*", 1);
    let named: Vec<u8> = sign(PASSWORD, &six, "mac")
        .chars()
        .map(|char| u8::try_from(char).unwrap())
        .collect();
    let logout = Ask::post("/api/auth/logout").header("x-neptun-session-session", named);
    assert_eq!(logout.send(service.public).body, "true");
    assert!(!service.is_live(&anew));
}
