//! The service with `--sealed-password`: logout and check for cookies that the web app sealed.

use serde_json::{Value, json};

use super::mint::seal;
use super::{PASSWORD, now_ms, payload, seal_of, sealed};
use crate::support::service::{binary, refusal};
use crate::support::start::on_every_store;
use crate::support::{Answer, Ask, Scratch, Service, Start, assert_envelope, at_once};

on_every_store! {
    a_sealed_session_is_live_until_its_logout_and_never_again,
    logging_a_user_out_everywhere_reaches_seals_and_a_login_after_it_is_live,
}

pub const OLDER: &str = "the-password-before-it-was-changed";

const SEALS: [&str; 2] = ["--sealed-password", PASSWORD];

fn service() -> Service {
    Service::with(&SEALS)
}

fn check(service: &Service, cookie: &str) -> Answer {
    Ask::get("/api/auth/check")
        .header("cookie", cookie)
        .send(service.public)
}

fn a_sealed_session_is_live_until_its_logout_and_never_again(start: &Start) {
    let service = start.with(&SEALS);
    let seal = sealed("one", 5);
    let live = service.check(&seal);
    assert_eq!(live.status, 204, "{live:?}");
    assert_eq!(live.header("remote-user"), Some("5"));
    assert_eq!(live.header("remote-session").map(str::len), Some(64));
    assert_eq!(live.header("remote-auth-time"), Some("0"));
    let answer = service.logout(&seal);
    assert_eq!((answer.status, answer.body.as_str()), (200, "true"));
    assert!(
        answer
            .header("set-cookie")
            .unwrap()
            .starts_with("neptun-session=; ")
    );
    assert_eq!(service.logout(&seal).body, "false");
    assert!(!service.is_live(&seal));
    // h3 seals a session anew now and then; its id stays, and with it the revocation.
    assert!(!service.is_live(&sealed("one", 5)));
    assert!(service.is_live(&sealed("two", 5)));
}

#[test]
fn without_the_password_a_seal_is_a_value_like_any_other() {
    let service = Service::start();
    let seal = sealed("one", 5);
    assert_eq!(service.logout(&seal).body, "false");
    assert!(!service.is_live(&seal));
    let sign_out = Ask::new("DELETE", "/api/_auth/session")
        .session(&seal)
        .send(service.public);
    assert_eq!(sign_out.status, 404);
}

#[test]
fn seals_of_no_live_session_are_false_and_401() {
    let service = Service::with(&["--sealed-password", PASSWORD, "--session-ttl", "1h"]);
    let now = now_ms();
    let user = json!({ "id": 5 });
    let day = 24 * 60 * 60 * 1000;
    let dead = [
        seal_of(&json!({ "id": "anonymous", "createdAt": now, "data": {} }).to_string()),
        seal_of(&payload("null-user", &Value::Null, now)),
        seal_of(&payload("too-old", &user, now - day)),
        seal_of(&payload("from-the-future", &user, now + 3_600_000)),
        seal_of(&json!({ "createdAt": now, "data": { "user": user } }).to_string()),
        seal_of("true"),
        seal(
            PASSWORD,
            &payload("expired", &user, now),
            Some(now - 61_000),
        ),
        seal(OLDER, &payload("other-password", &user, now), None),
        sealed("tampered", 5).replace("Fe26.2**", "Fe26.2*x*"),
        "Fe26.2*******".to_owned(),
    ];
    for seal in &dead {
        let answer = service.logout(seal);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "false"),
            "{seal}"
        );
        assert!(answer.header("set-cookie").is_some());
        assert!(!service.is_live(seal), "{seal}");
    }
    let skewed = seal_of(&payload("slightly-ahead", &user, now + 30_000));
    assert!(service.is_live(&skewed));
    let not_yet_expired = seal(PASSWORD, &payload("expires", &user, now), Some(now + day));
    assert!(service.is_live(&not_yet_expired));
}

#[test]
fn of_many_simultaneous_logouts_of_a_seal_exactly_one_is_true() {
    let service = service();
    let seal = sealed("raced", 5);
    let answers = at_once(32, |_| service.logout(&seal).body);
    let won = answers.iter().filter(|body| *body == "true").count();
    assert_eq!(won, 1);
}

#[test]
fn a_revoked_seal_bars_the_request_whatever_else_it_presents() {
    let service = service();
    let (revoked, live, issued) = (
        sealed("revoked", 5),
        sealed("live", 5),
        service.token_of("5"),
    );
    assert!(service.is_live(&format!("{revoked}; neptun-session={live}")));
    assert!(service.is_live(&format!("{live}; neptun-session={issued}")));
    service.logout(&revoked);
    for other in [&live, &issued] {
        let both = format!("neptun-session={other}; neptun-session={revoked}");
        assert_eq!(check(&service, &both).status, 401);
        assert!(service.is_live(other));
    }
}

#[test]
fn a_revoked_seal_does_not_slip_past_in_the_header_that_h3_reads_first() {
    let service = service();
    let (revoked, live, foreign) = (
        sealed("revoked", 5),
        sealed("live", 5),
        sealed("foreign", 6),
    );
    service.logout(&revoked);
    let check = |header: &str, cookie: Option<&str>| {
        let ask = Ask::get("/api/auth/check").header("x-neptun-session-session", header);
        let ask = cookie.map_or(ask.clone(), |cookie| ask.session(cookie));
        ask.send(service.public).status
    };
    assert_eq!(check(&revoked, Some(&live)), 401);
    assert_eq!(check(&revoked, None), 401);
    assert_eq!(check(&foreign, Some(&live)), 401, "two users");
    assert_eq!(check(&live, Some(&live)), 204);
    assert_eq!(check(&live, None), 204);
    assert_eq!(check("nonsense", Some(&live)), 204);
    let padded = format!("{}x", "y".repeat(5000));
    let user = json!({ "id": 5, "more": padded });
    let long = seal_of(&payload("revoked", &user, now_ms()));
    assert!(long.len() > 4096);
    assert_eq!(check(&long, Some(&live)), 401);
}

#[test]
fn a_seal_is_read_from_the_cookie_as_h3_reads_it() {
    let service = service();
    for (id, dress) in [
        (
            "stars",
            (|seal: &str| format!("neptun-session={}", seal.replace('*', "%2A")))
                as fn(&str) -> String,
        ),
        ("quotes", |seal| format!("neptun-session=\"{seal}\"")),
        ("both", |seal| {
            format!("neptun-session=\"{}\"", seal.replace('*', "%2a"))
        }),
        ("spaces", |seal| format!("neptun-session = {seal} ")),
    ] {
        let cookie = dress(&sealed(id, 5));
        assert_eq!(check(&service, &cookie).status, 204, "{cookie}");
        let logout = Ask::post("/api/auth/logout").header("cookie", &cookie);
        assert_eq!(logout.send(service.public).body, "true", "{cookie}");
        assert_eq!(check(&service, &cookie).status, 401, "{cookie}");
        assert!(!service.is_live(&sealed(id, 5)));
    }
}

#[test]
fn a_revoked_seal_does_not_hide_behind_a_no_break_space() {
    let service = service();
    let (revoked, live) = (sealed("revoked", 5), sealed("live", 5));
    service.logout(&revoked);
    // Node reads headers as Latin-1, in which JavaScript's `trim` takes 0xA0 for a space; h3 then
    // takes the first of two sessions.
    let own = format!("; neptun-session={live}").into_bytes();
    for before in [
        &[&b"\xa0neptun-session="[..], revoked.as_bytes()].concat(),
        &[&b"neptun-session\xa0=\xa0"[..], revoked.as_bytes(), b"\xa0"].concat(),
    ] {
        let ask = Ask::get("/api/auth/check").header("cookie", [before, &own[..]].concat());
        assert_eq!(ask.send(service.public).status, 401);
    }
    assert!(service.is_live(&live));
}

fn logging_a_user_out_everywhere_reaches_seals_and_a_login_after_it_is_live(start: &Start) {
    let service = start.with(&SEALS);
    let (seal, foreign, issued) = (sealed("one", 5), sealed("other", 6), service.token_of("5"));
    assert_eq!(service.revoke_all("5"), 1);
    assert!(!service.is_live(&seal) && !service.is_live(&issued));
    assert_eq!(service.logout(&seal).body, "false");
    assert!(service.is_live(&foreign));
    // The web app's clock has millisecond steps, so a login after it is one step later.
    let after = now_ms() + 1;
    let later = payload("later", &json!({ "id": 5 }), after);
    assert!(service.is_live(&seal_of(&later)));
}

#[test]
fn the_web_apps_sign_out_revokes_clears_and_always_says_logged_out() {
    let service = service();
    let seal = sealed("one", 5);
    let sign_out = || Ask::new("DELETE", "/api/_auth/session");
    for ask in [
        sign_out().session(&seal),
        sign_out().session(&seal),
        sign_out(),
    ] {
        let answer = ask.send(service.public);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json(), json!({ "loggedOut": true }));
        assert!(
            answer
                .header("set-cookie")
                .unwrap()
                .starts_with("neptun-session=; ")
        );
        assert!(!service.is_live(&seal));
    }
    let other = sealed("two", 5);
    let foreign = sign_out()
        .session(&other)
        .header("origin", "https://evil.example");
    assert_eq!(foreign.send(service.public).status, 403);
    assert!(service.is_live(&other));
    let get = Ask::get("/api/_auth/session").send(service.public);
    assert_eq!((get.status, get.header("allow")), (405, Some("DELETE")));
}

#[test]
fn any_of_several_passwords_opens_from_flags_a_file_or_the_web_apps_variable() {
    let scratch = Scratch::new("seals");
    let file = scratch.write("passwords", format!("{PASSWORD}\n{OLDER}\n"));
    let by_file = Service::with(&["--sealed-password-file", &file]);
    let by_flags = Service::with(&["--sealed-password", PASSWORD, "--sealed-password", OLDER]);
    let mut command = binary();
    command
        .env("NUXT_SESSION_PASSWORD", OLDER)
        .env("NEPTUN_AUTH_SEALED_PASSWORD", PASSWORD);
    let by_variables = Service::spawn(command);
    for service in [by_file, by_flags, by_variables] {
        for password in [PASSWORD, OLDER] {
            let seal = seal(password, &payload("x", &json!({ "id": 5 }), now_ms()), None);
            assert!(service.is_live(&seal));
        }
    }
}

#[test]
fn the_user_is_named_where_the_pointer_says_and_a_nameless_one_passes_no_check() {
    let service = Service::with(&[
        "--sealed-password",
        PASSWORD,
        "--sealed-user",
        "/data/user/mail",
    ]);
    let user = json!({ "id": 5, "mail": "user@example.com" });
    let named = seal_of(&payload("named", &user, now_ms()));
    assert_eq!(
        service.check(&named).header("remote-user"),
        Some("user@example.com")
    );
    let nameless = sealed("nameless", 5);
    assert!(!service.is_live(&nameless));
    assert_eq!(service.logout(&nameless).body, "true");
    assert_eq!(service.logout(&nameless).body, "false");
}

#[test]
fn a_weak_password_refuses_to_start_and_is_not_printed() {
    for args in [
        ["--sealed-password", "too-short-a-password"],
        ["--sealed-password-file", "/dev/null"],
    ] {
        let said = refusal(&args);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(!said[0].contains("too-short-a-password"));
    }
}

#[test]
fn a_full_store_refuses_to_revoke_rather_than_forget_another_revocation() {
    let service = Service::with(&["--sealed-password", PASSWORD, "--max-sessions", "2"]);
    let seals: Vec<String> = (0..3).map(|i| sealed(&format!("seal-{i}"), i)).collect();
    assert_eq!(service.logout(&seals[0]).body, "true");
    assert_eq!(service.logout(&seals[1]).body, "true");
    let refused = service.logout(&seals[2]);
    assert_envelope(
        &refused,
        500,
        "Internal Server Error",
        "Session could not be cleared",
    );
    assert!(!service.is_live(&seals[0]) && !service.is_live(&seals[1]));
    assert!(service.is_live(&seals[2]));
}

#[test]
fn the_log_shows_of_a_seal_the_users_id_and_nothing_else() {
    let service = Service::with(&["--sealed-password", PASSWORD, "--log", "trace"]);
    let user = json!({ "id": "user-5", "email": "private@example.com" });
    let seal = seal_of(&payload("uuid-of-the-seal", &user, now_ms()));
    service.check(&seal);
    service.logout(&seal);
    let (_, log) = service.stop();
    let ended = log
        .iter()
        .find(|line| line.contains("session ended"))
        .unwrap();
    assert!(ended.contains("\"user\":\"user-5\"") && ended.contains("\"reason\":\"logout\""));
    for line in log {
        for secret in [
            &seal[..],
            PASSWORD,
            "private@example.com",
            "uuid-of-the-seal",
        ] {
            assert!(!line.contains(secret), "{line}");
        }
    }
}
