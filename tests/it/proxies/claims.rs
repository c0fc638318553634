//! What a client says about who and where it is does not reach the app.

use super::{behind, forging};
use crate::support::echo::Seen;
use crate::support::proxy::{Kind, configurations};
use crate::support::{Ask, Service};

#[test]
fn the_app_hears_from_the_service_who_it_is_whatever_the_client_claims() {
    let service = Service::start();
    let (id, token) = service.issue("user 42");
    let since = service.check(&token);
    let since = since.header("remote-auth-time").unwrap();
    behind(configurations(), service.public, |proxy, _app| {
        // Named in `Connection`, headers are for the next hop only: what is dropped must be neither
        // what the app is told nor what was forged over.
        for connection in [
            "keep-alive",
            "Remote-User",
            "close, remote-user, REMOTE-SESSION, Remote-Auth-Time",
            "x-forwarded-for, X-Forwarded-Proto, x-forwarded-host",
        ] {
            for body in ["", "a body for the app"] {
                let ask = Ask::post("/page?a=b").session(&token).body(body);
                let ask = forging(ask).header("connection", connection);
                let answer = ask.send(proxy.address);
                if (proxy.kind, answer.status) == (Kind::Envoy, 400) {
                    // It refuses to have its own headers named.
                    assert!(connection.contains("forwarded"), "{connection}");
                    continue;
                }
                let seen = Seen::by_app(&answer);
                assert_eq!(seen.all("remote-user"), ["user 42"], "{seen:?}");
                assert_eq!(seen.all("remote-session"), [id.as_str()], "{seen:?}");
                assert_eq!(seen.all("remote-auth-time"), [since], "{seen:?}");
                assert!(!seen.has("forged"), "{seen:?}");
                assert_eq!((seen.method(), seen.target()), ("POST", "/page?a=b"));
                assert_eq!(seen.body(), body);
            }
        }
    });
}

#[test]
fn the_app_hears_from_the_proxy_where_the_client_is() {
    let service = Service::start();
    let token = service.token_of("42");
    behind(configurations(), service.public, |proxy, _app| {
        let mut ask = Ask::get("/").session(&token);
        for name in [
            "X-Forwarded-For",
            "X-Forwarded-Proto",
            "X-Forwarded-Host",
            "X-Forwarded-Port",
            "X-Forwarded-Prefix",
            "X_Forwarded_For",
            "X-Forwarded_For",
            "X-Real-IP",
            "Forwarded",
        ] {
            ask = ask.header(name, "for=192.0.2.1");
        }
        let seen = Seen::by_app(&ask.send(proxy.address));
        assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"], "{seen:?}");
        assert_eq!(seen.all("x-forwarded-proto"), ["http"], "{seen:?}");
        assert_eq!(seen.all("x-forwarded-host"), ["localhost"], "{seen:?}");
        assert!(!seen.has("192.0.2.1"), "{seen:?}");
    });
}

#[test]
fn a_cookie_that_connection_names_is_no_way_around_the_check() {
    let service = Service::start();
    let token = service.token_of("42");
    behind(configurations(), service.public, |proxy, app| {
        let ask = Ask::get("/").session(&token).header("connection", "cookie");
        let answer = ask.send(proxy.address);
        // Some of them take it away before they ask.
        if [Kind::Traefik, Kind::Envoy].contains(&proxy.kind) {
            assert_eq!((answer.status, app.requests()), (401, 0));
        } else {
            assert_eq!(Seen::by_app(&answer).all("remote-user"), ["42"]);
        }
    });
}
