//! A `WebSocket` passes, another upgrade does not; large bodies and streams do.

use crate::support::asgi_app::AsgiApp;
use crate::support::proxy::{FOR_VISITORS, Kind, Proxy, configurations};
use crate::support::web_socket::WebSocket;
use crate::support::{Ask, Connection, Service};

/// An app that takes every upgrade, behind each proxy; and whether that lets visitors in.
fn behind_each(service: &Service, test: impl Fn(&Proxy, bool)) {
    let app = AsgiApp::start();
    for (kind, file) in configurations() {
        println!("behind {kind:?} with {file}");
        let proxy = Proxy::start(kind, file, service.public, app.address);
        test(&proxy, FOR_VISITORS.contains(&(kind, file)));
    }
}

#[test]
fn no_upgrade_but_that_to_websocket_opens_a_tunnel() {
    let service = Service::start();
    let token = service.token_of("42");
    let app = AsgiApp::start();
    let opened = Ask::upgrade("/", "h2c").send(app.address);
    assert_eq!(opened.status, 101, "the app would");
    behind_each(&service, |proxy, _| {
        for target in ["/", "/login", "/api/auth/logout", "/api/auth/sessions"] {
            for to in ["h2c", "H2C", "h2c, websocket", "websocket, h2c", "TLS/1.0"] {
                let ask = Ask::upgrade(target, to).session(&token);
                let answer = ask.send(proxy.address);
                println!("{target} {to:?} {}", answer.status);
                let refused = [400, 403, 404, 405, 426].contains(&answer.status);
                if !refused {
                    assert_eq!(answer.status, 200, "{answer:?}");
                    let json = answer.json();
                    let upgrade = |header: &serde_json::Value| header[0] == "upgrade";
                    let headers = json["headers"].as_array();
                    assert!(!headers.is_some_and(|all| all.iter().any(upgrade)));
                }
            }
            for [first, second] in [["h2c", "websocket"], ["websocket", "h2c"]] {
                let ask = Ask::upgrade(target, first).header("upgrade", second);
                let answer = ask.session(&token).send(proxy.address);
                // If it is one, it is a WebSocket's.
                let upgraded = answer.header("upgrade").map(str::to_ascii_lowercase);
                assert_ne!(upgraded.as_deref(), Some("h2c"), "{answer:?}");
            }
        }
    });
}

#[test]
fn a_websocket_passes_with_a_session_and_none_without() {
    let service = Service::start();
    let token = service.token_of("42");
    behind_each(&service, |proxy, takes_visitors| {
        for spelling in ["websocket", "WebSocket"] {
            let handshake = |token: &str| {
                let ask = Ask::upgrade("/socket", spelling).session(token);
                super::forging(ask.header("sec-fetch-mode", "websocket"))
            };
            if !takes_visitors {
                assert_eq!(handshake("forged").send(proxy.address).status, 401);
            }
            let mut socket = WebSocket::open(proxy.address, &handshake(&token));
            let headers = socket.hear().unwrap();
            assert!(headers.contains(r#"["remote-user", "42"]"#), "{headers}");
            assert!(!headers.contains("forged"), "{headers}");
            for said in ["one", "two"] {
                socket.say(said);
                assert_eq!(socket.hear().unwrap(), said);
            }
        }
    });
}

#[test]
fn bodies_of_20_and_32_mib_pass_and_larger_ones_where_nothing_is_said() {
    let service = Service::start();
    let token = service.token_of("42");
    behind_each(&service, |proxy, _| {
        let status = |bytes: usize| {
            let ask = Ask::post("/").session(&token).body(&"a".repeat(bytes));
            let answer = ask.try_send(proxy.address);
            if let Some(answer) = answer.as_ref().filter(|answer| answer.status == 200) {
                assert_eq!(answer.json()["length"], bytes);
            }
            // One that refuses may close before all has been sent.
            answer.map(|answer| answer.status)
        };
        assert_eq!(status(20 << 20), Some(200));
        assert_eq!(status(32 << 20), Some(200));
        let over = status((32 << 20) + 1);
        if proxy.kind == Kind::Traefik {
            assert_eq!(over, Some(200));
        } else {
            assert_ne!(over, Some(200));
        }
    });
}

#[test]
fn a_stream_is_passed_on_as_it_comes() {
    let service = Service::start();
    let token = service.token_of("42");
    for (kind, file) in configurations() {
        println!("behind {kind:?} with {file}");
        let app = AsgiApp::start();
        let proxy = Proxy::start(kind, file, service.public, app.address);
        let mut stream = Connection::open(proxy.address);
        stream.write(&Ask::get("/stream").session(&token).bytes());
        stream.read_until("data: first\n\n");
        // The app says the rest only once it is told to.
        let go_on = Ask::get("/go-on").session(&token).send(proxy.address);
        assert_eq!(go_on.status, 200);
        stream.read_until("data: last\n\n");
    }
}
