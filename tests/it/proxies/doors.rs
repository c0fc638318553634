//! Who gets in, and what everyone else gets.

use super::{behind_each, forging};
use crate::support::echo::EchoApp;
use crate::support::faulty::{Fault, FaultyService};
use crate::support::proxy::{FOR_MEMBERS, Kind, Proxy};
use crate::support::{Answer, Ask, Connection, Service};

fn ask_app(proxy: &Proxy, token: &str) -> Answer {
    forging(Ask::get("/page?a=b").session(token)).send(proxy.address)
}

#[test]
fn without_a_live_session_the_app_is_not_reached() {
    let service = Service::start();
    let ended = service.token_of("42");
    service.logout(&ended);
    behind_each(service.public, |proxy, app| {
        for ask in [
            Ask::get("/"),
            Ask::get("/").session("forged"),
            Ask::get("/").session(&ended),
            Ask::get("/").header("sec-fetch-mode", "cors"),
            Ask::new("HEAD", "/"),
            Ask::new("OPTIONS", "/"),
            Ask::post("/").body("a body"),
            Ask::get("/neptun-auth/check"),
            Ask::get("/neptun-auth/sign-out"),
            Ask::get("/api/auth/logout/"),
            Ask::get("/api/auth/ext-authz"),
            Ask::new("DELETE", "/api/_auth/session/"),
        ] {
            let bytes = String::from_utf8(ask.bytes()).unwrap();
            let answer = forging(ask).send(proxy.address);
            assert_eq!(answer.header("set-cookie"), None);
            // nginx has routes of that name, for itself alone.
            if bytes.contains("/neptun-auth/") && proxy.kind == Kind::Nginx {
                assert_eq!(answer.status, 404);
                continue;
            }
            assert_eq!(answer.status, 401, "{bytes} {answer:?}");
            assert_eq!(answer.header("www-authenticate"), Some("Cookie"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            if !bytes.starts_with("HEAD") {
                let json = &answer.json();
                assert_eq!(json["statusCode"], 401);
                assert_eq!(json["data"]["message"], "No valid session");
            }
        }
        assert_eq!(app.requests(), 0);
    });
}

#[test]
fn a_logout_closes_the_door_on_the_very_next_request() {
    let service = Service::start();
    behind_each(service.public, |proxy, app| {
        for _ in 0..10 {
            let token = service.token_of("42");
            assert_eq!(ask_app(proxy, &token).status, 200);
            let reached = app.requests();
            let logout = Ask::logout(&token);
            let answer = logout.send(proxy.address);
            assert_eq!((answer.status, answer.body.as_str()), (200, "true"));
            assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"));
            assert_eq!(ask_app(proxy, &token).status, 401);
            assert_eq!(app.requests(), reached);
            assert_eq!(logout.send(proxy.address).body, "false");
        }
    });
}

#[test]
fn a_page_of_the_same_origin_may_log_out_through_the_proxy_and_no_other() {
    let service = Service::start();
    behind_each(service.public, |proxy, _app| {
        let token = service.token_of("42");
        let own = format!("http://{}", proxy.address);
        for (origin, status) in [("http://evil.example", 403), (&own[..], 200)] {
            // As a browser without Fetch Metadata asks: the host is all there is to compare.
            let ask = format!(
                "POST /api/auth/logout HTTP/1.1\r\nhost: {}\r\norigin: {origin}\r\n\
                 cookie: neptun-session={token}\r\n\r\n",
                proxy.address
            );
            let mut connection = Connection::open(proxy.address);
            connection.write(ask.as_bytes());
            assert_eq!(connection.answer_to("POST").status, status, "{origin}");
        }
    });
}

#[test]
fn the_sessions_of_ones_own_are_the_services_business() {
    let service = Service::start();
    let token = service.token_of("42");
    behind_each(service.public, |proxy, app| {
        for (method, target) in [
            ("GET", "/api/auth/sessions"),
            ("DELETE", "/api/auth/sessions"),
            ("DELETE", "/api/auth/sessions/others"),
            ("DELETE", "/api/auth/sessions/an-id"),
        ] {
            let direct = Ask::new(method, target).header("origin", "http://evil.example");
            let (direct, proxied) = (direct.clone().session(&token), direct.session(&token));
            let direct = direct.send(service.public);
            let proxied = proxied.send(proxy.address);
            assert_eq!(
                (proxied.status, &proxied.body),
                (direct.status, &direct.body),
                "{method} {target}"
            );
        }
        assert_eq!(app.requests(), 0);
    });
}

#[test]
fn when_the_store_is_down_nobody_gets_in_and_nobody_is_logged_out() {
    for (kind, file) in FOR_MEMBERS {
        println!("behind {kind:?}");
        let service = FaultyService::start();
        let app = EchoApp::start();
        let proxy = Proxy::start(kind, file, service.public, app.address);
        let token = service.token_of("42");
        service.fail(Fault::Refuses);
        let navigation = Ask::get("/").session(&token).header("accept", "text/html");
        for answer in [ask_app(&proxy, &token), navigation.send(proxy.address)] {
            assert_eq!(answer.status, 503, "{kind:?}: {answer:?}");
            assert_eq!(answer.header("set-cookie"), None);
        }
        let answer = Ask::logout(&token).send(proxy.address);
        assert_eq!(answer.status, 500, "{kind:?}: {answer:?}");
        assert_eq!(answer.header("set-cookie"), None);
        assert_eq!(app.requests(), 0);
        service.fail(Fault::None);
        assert_eq!(ask_app(&proxy, &token).status, 200, "{kind:?}");
    }
}

#[test]
fn when_the_service_is_gone_nobody_gets_in() {
    for (kind, file) in FOR_MEMBERS {
        println!("behind {kind:?}");
        let service = Service::start();
        let app = EchoApp::start();
        let proxy = Proxy::start(kind, file, service.public, app.address);
        let token = service.token_of("42");
        assert_eq!(ask_app(&proxy, &token).status, 200);
        service.stop();
        let cannot_tell = match kind {
            Kind::Nginx | Kind::HaProxy | Kind::Envoy => 503,
            Kind::Caddy | Kind::Traefik => 502,
        };
        let navigation = Ask::get("/").session(&token).header("accept", "text/html");
        for answer in [ask_app(&proxy, &token), navigation.send(proxy.address)] {
            assert_eq!(answer.status, cannot_tell, "{kind:?}: {answer:?}");
            assert_eq!((app.requests(), answer.header("set-cookie")), (1, None));
        }
        let logout = Ask::logout(&token).send(proxy.address);
        assert!([502, 503].contains(&logout.status), "{logout:?}");
        assert_eq!(logout.header("set-cookie"), None);
    }
}
