//! The README's proxies, run for real with its own files: an app behind each, which tells what
//! reached it.

use std::net::SocketAddr;

use crate::support::echo::{EchoApp, Seen};
use crate::support::faulty::{Fault, FaultyService};
use crate::support::proxy::{Kind, Proxy};
use crate::support::relay::Relay;
use crate::support::{Answer, Ask, Service};

const ALL: [(Kind, &str); 3] = [
    (Kind::Nginx, "nginx.conf"),
    (Kind::Caddy, "Caddyfile"),
    (Kind::HaProxy, "haproxy.cfg"),
];

/// What a client may claim about itself, also as CGI-like apps would read it.
const FORGED: [&str; 5] = [
    "Remote-User",
    "remote-session",
    "REMOTE-USER",
    "Remote_User",
    "Remote_Session",
];

fn forging(mut ask: Ask) -> Ask {
    for name in FORGED {
        ask = ask.header(name, "forged");
    }
    ask
}

/// An app behind a proxy of each kind, one after the other.
fn behind_each(service: SocketAddr, test: impl Fn(&Proxy, &EchoApp)) {
    for (kind, file) in ALL {
        let app = EchoApp::start();
        let proxy = Proxy::start(kind, file, service, app.address);
        println!("behind {kind:?}");
        test(&proxy, &app);
    }
}

fn ask_app(proxy: &Proxy, token: &str) -> Answer {
    forging(Ask::get("/page?a=b").session(token)).send(proxy.address)
}

#[test]
fn the_app_hears_from_the_service_who_it_is_whatever_the_client_claims() {
    let service = Service::start();
    let token = service.token_of("user 42");
    let id = service
        .check(&token)
        .header("remote-session")
        .unwrap()
        .to_owned();
    behind_each(service.public, |proxy, _app| {
        for body in ["", "a body for the app"] {
            let ask = Ask::post("/page?a=b").session(&token).body(body);
            let seen = Seen::by_app(&forging(ask).send(proxy.address));
            assert_eq!(seen.all("remote-user"), ["user 42"], "{seen:?}");
            assert_eq!(seen.all("remote-session"), [id.as_str()], "{seen:?}");
            assert_eq!((seen.method(), seen.target()), ("POST", "/page?a=b"));
            assert_eq!(seen.body(), body);
        }
        // Named in `Connection`, headers are for the next hop only: what is dropped must not be
        // what was forged over.
        let ask = forging(Ask::get("/")).session(&token);
        let ask = ask.header("connection", "remote-user, remote-session");
        let seen = Seen::by_app(&ask.send(proxy.address));
        assert!(!seen.all("remote-user").contains(&"forged"), "{seen:?}");
    });
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
            Ask::new("HEAD", "/"),
            Ask::post("/").body("a body"),
            Ask::get("/neptun-auth/check"),
            Ask::get("/api/auth/logout/"),
            Ask::new("DELETE", "/api/_auth/session/"),
        ] {
            let bytes = String::from_utf8(ask.bytes()).unwrap();
            let answer = forging(ask).send(proxy.address);
            // nginx has a route of that name, for itself alone.
            let is_private = bytes.contains("/neptun-auth/") && proxy.kind == Kind::Nginx;
            let expected = if is_private { 404 } else { 401 };
            assert_eq!(answer.status, expected, "{bytes} {answer:?}");
            assert_eq!(answer.header("set-cookie"), None);
            if !is_private {
                assert_eq!(answer.header("www-authenticate"), Some("Cookie"));
            }
            if proxy.kind != Kind::Nginx && !bytes.starts_with("HEAD") {
                assert_eq!(answer.json()["statusCode"], 401);
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
            let logout = Ask::post("/api/auth/logout").session(&token);
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
            let mut connection = crate::support::Connection::open(proxy.address);
            connection.write(ask.as_bytes());
            assert_eq!(connection.answer_to("POST").status, status, "{origin}");
        }
    });
}

#[test]
fn when_the_store_is_down_nobody_gets_in_and_nobody_is_logged_out() {
    for (kind, file) in ALL {
        let service = FaultyService::start();
        let app = EchoApp::start();
        let proxy = Proxy::start(kind, file, service.public, app.address);
        let token = service.token_of("42");
        service.fail(Fault::Refuses);
        let answer = ask_app(&proxy, &token);
        // nginx turns every answer to its question but 2xx, 401 and 403 into a 500.
        let cannot_tell = if kind == Kind::Nginx { 500 } else { 503 };
        assert_eq!(answer.status, cannot_tell, "{kind:?}: {answer:?}");
        assert_eq!(answer.header("set-cookie"), None);
        let logout = Ask::post("/api/auth/logout").session(&token);
        let answer = logout.send(proxy.address);
        assert_eq!(answer.status, 500, "{kind:?}: {answer:?}");
        assert_eq!(answer.header("set-cookie"), None);
        assert_eq!(app.requests(), 0);
        service.fail(Fault::None);
        assert_eq!(ask_app(&proxy, &token).status, 200, "{kind:?}");
    }
}

#[test]
fn when_the_service_is_gone_nobody_gets_in() {
    for (kind, file) in ALL {
        let service = Service::start();
        let app = EchoApp::start();
        let proxy = Proxy::start(kind, file, service.public, app.address);
        let token = service.token_of("42");
        assert_eq!(ask_app(&proxy, &token).status, 200);
        service.stop();
        let answer = ask_app(&proxy, &token);
        let cannot_tell = match kind {
            Kind::Nginx => 500,
            Kind::Caddy => 502,
            Kind::HaProxy => 503,
        };
        assert_eq!(answer.status, cannot_tell, "{kind:?}: {answer:?}");
        assert_eq!((app.requests(), answer.header("set-cookie")), (1, None));
    }
}

#[test]
fn connections_to_the_app_and_to_the_service_are_kept_alive() {
    for (kind, file) in ALL {
        let service = Service::start();
        let relay = Relay::to(service.public);
        let app = EchoApp::start();
        let proxy = Proxy::start(kind, file, relay.address, app.address);
        // Clients that come and go must not make the proxy do so, nor must those turned away.
        for _ in 0..20 {
            let token = service.token_of("42");
            assert_eq!(ask_app(&proxy, &token).status, 200);
            assert_eq!(ask_app(&proxy, "forged").status, 401);
            let logout = Ask::post("/api/auth/logout").session(&token);
            assert_eq!(logout.send(proxy.address).body, "true");
        }
        let opened = (app.connections(), relay.connections());
        println!("{kind:?} opened {opened:?}");
        assert!(opened.0 <= 4 && opened.1 <= 6, "{kind:?} opened {opened:?}");
    }
}
