//! What the log says of seals that this service cannot take for sessions: to a client they look
//! like sessions that were over already, so an operator has no other way to learn of it.

use serde_json::{Value, json};

use super::mint::seal;
use super::service::OLDER;
use super::{PASSWORD, now_ms, payload, seal_of, sealed};
use crate::support::{Ask, Service, lines_with, parsed};

fn service() -> Service {
    Service::with(&["--sealed-password", PASSWORD])
}

/// Ends the service; the messages of its warnings, those about seals.
fn warnings(service: Service) -> Vec<Value> {
    let (_, log) = service.stop();
    parsed(&lines_with(&log, &["\"WARN\"", " seal"]))
}

fn message(warning: &Value) -> &str {
    warning["message"].as_str().unwrap()
}

/// For how many events the lines stand: the first at once, the others together.
fn times(told: &[Value]) -> Vec<u64> {
    told.iter()
        .map(|line| line["times"].as_u64().unwrap())
        .collect()
}

fn send_cookie(service: &Service, cookie: impl AsRef<[u8]>) {
    let logout = Ask::post("/api/auth/logout").header("cookie", cookie);
    logout.send(service.public);
}

#[test]
fn seals_that_no_password_opens_leave_a_line_now_and_then_that_says_what_to_look_at() {
    let service = service();
    let user = json!({ "id": 5 });
    let foreign = seal(OLDER, &payload("one", &user, now_ms()), None);
    for _ in 0..50 {
        service.check(&foreign);
        service.logout(&foreign);
        service.logout("Fe26.2*no-seal");
    }
    let told = warnings(service);
    assert_eq!(times(&told), [1, 149], "{told:?}");
    for advice in ["password", "quotes", "h3 2"] {
        assert!(message(&told[0]).contains(advice), "{told:?}");
    }
    for part in foreign.split('*').filter(|part| part.len() > 8) {
        assert!(!format!("{told:?}").contains(part), "{told:?}");
    }
}

#[test]
fn seals_that_a_password_opens_or_that_are_past_their_expiration_leave_none() {
    let service = service();
    let user = json!({ "id": 5 });
    let one = payload("one", &user, now_ms());
    let anonymous = payload("anonymous", &Value::Null, now_ms());
    for seal in [
        sealed("one", 5),
        sealed("one", 5),
        seal_of(&anonymous),
        seal_of("not json"),
        seal(OLDER, &one, Some(now_ms() - 61_000)),
        "no-seal".to_owned(),
    ] {
        service.logout(&seal);
        service.check(&seal);
    }
    assert_eq!(warnings(service), [] as [Value; 0]);
}

#[test]
fn a_seal_under_another_cookies_name_leaves_a_line_now_and_then_with_both_names() {
    let service = service();
    let seal = sealed("one", 5);
    for _ in 0..50 {
        send_cookie(&service, format!("a=1; nuxt-session={seal}; b=2"));
        send_cookie(
            &service,
            format!("another=\"{}\"", seal.replace('*', "%2A")),
        );
    }
    let told = warnings(service);
    assert_eq!(times(&told), [1, 99], "{told:?}");
    let begins = "`nuxt-session` came with a seal, this service reads `neptun-session`";
    assert!(message(&told[0]).starts_with(begins), "{told:?}");
    assert!(!format!("{told:?}").contains("Fe26.2"), "{told:?}");
}

#[test]
fn the_name_of_a_foreign_cookie_is_shown_short_and_escaped() {
    let service = service();
    let name = [b"\xffna\"me\xe2\x80\xae".to_vec(), vec![b'x'; 4000]].concat();
    let pair = [name, format!("={}", sealed("one", 5)).into_bytes()].concat();
    send_cookie(&service, pair);
    let told = warnings(service);
    assert_eq!(told.len(), 1, "{told:?}");
    let shown = message(&told[0]);
    assert!(
        shown.starts_with(r#"`\xffna\"me\xe2\x80\xaexxx"#),
        "{shown}"
    );
    assert!(shown.len() < 250, "{shown}");
}

#[test]
fn a_seal_under_another_name_is_no_news_beside_the_services_own_cookie() {
    let service = service();
    let (own, seal) = (sealed("own", 5), sealed("one", 5));
    for cookie in [
        format!("nuxt-session={seal}; neptun-session={own}"),
        format!("neptun-session={own}; nuxt-session={seal}"),
        format!("neptun-session=; nuxt-session={seal}"),
        "nuxt-session=no-seal".to_owned(),
        "nuxt-session".to_owned(),
    ] {
        send_cookie(&service, cookie);
    }
    assert_eq!(warnings(service), [] as [Value; 0]);

    let without_password = Service::start();
    send_cookie(&without_password, format!("nuxt-session={seal}"));
    assert_eq!(warnings(without_password), [] as [Value; 0]);
}
