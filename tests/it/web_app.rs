//! Neptun's web app behind nginx and Caddy with the README's own files: the app opens whatever
//! seal reaches it, so a seal that is over must not. Most look at what reaches the app; one runs
//! the h3 that the web app runs.

use std::net::SocketAddr;

use serde_json::json;

use crate::sealed::{PASSWORD, seal_of, sealed};
use crate::support::echo::{EchoApp, Seen};
use crate::support::faulty::{Fault, FaultyService};
use crate::support::proxy::{FOR_MEMBERS, FOR_VISITORS, Kind, Proxy, configurations};
use crate::support::relay::Relay;
use crate::support::service::binary;
use crate::support::web_app::WebApp;
use crate::support::{Answer, Ask, Service};

/// A service that shares the web app's password as the README says.
fn service() -> Service {
    let mut command = binary();
    command.env("NUXT_SESSION_PASSWORD", PASSWORD);
    Service::spawn(command)
}

/// A seal as the web app makes it for user 5.
fn seal(id: &str) -> String {
    sealed(id, 5)
}

fn behind(proxies: &[(Kind, &str)], service: SocketAddr, test: impl Fn(&Proxy, &EchoApp)) {
    for (kind, file) in proxies {
        let app = EchoApp::start();
        let proxy = Proxy::start(*kind, file, service, app.address);
        println!("behind {kind:?} with {file}");
        test(&proxy, &app);
    }
}

fn logout(proxy: &Proxy, seal: &str) -> String {
    let ask = Ask::logout(seal);
    ask.send(proxy.address).body
}

/// The app saw nobody: no seal in any place h3 looks, and no identity.
fn assert_visitor(seen: &Seen) {
    for cookie in seen.all("cookie") {
        assert!(!cookie.contains("neptun-session"), "{seen:?}");
        assert!(!cookie.contains("Fe26.2"), "{seen:?}");
    }
    for name in ["x-neptun-session-session", "remote-user", "remote-session"] {
        assert!(seen.all(name).is_empty(), "{seen:?}");
    }
}

#[test]
fn a_live_seal_reaches_the_app_with_the_users_identity() {
    let service = service();
    behind(&FOR_VISITORS, service.public, |proxy, _app| {
        let cookie = format!("a=1; neptun-session={}; b=2", seal("live"));
        let ask = Ask::post("/page").header("cookie", &cookie);
        let ask = ask.header("remote-user", "forged").body("a body");
        let seen = Seen::by_app(&ask.send(proxy.address));
        assert_eq!(seen.all("cookie"), [cookie]);
        assert_eq!(seen.all("remote-user"), ["5"]);
        assert_eq!(seen.all("remote-session").len(), 1);
        assert_eq!(seen.body(), "a body");
    });
}

#[test]
fn a_visitor_reaches_the_app_as_nobody_and_keeps_the_other_cookies() {
    let service = service();
    behind(&FOR_VISITORS, service.public, |proxy, _app| {
        for (sent, reaches) in [
            ("a=1", "a=1"),
            ("neptun-session=dead", ""),
            ("neptun-session=dead; a=1", "a=1"),
            ("a=1; neptun-session=dead", "a=1;"),
            ("a=1; neptun-session=dead; b=2", "a=1; b=2"),
            ("a=1;neptun-session=dead;b=2", "a=1;b=2"),
            ("a=1; neptun-session = dead ; b=2", "a=1; b=2"),
        ] {
            let ask = Ask::post("/login?next=/").header("cookie", sent);
            let ask = ask.header("remote-user", "forged").body("a password");
            let answer = ask.send(proxy.address);
            let seen = Seen::by_app(&answer);
            assert_visitor(&seen);
            let unspaced = |text: &str| text.replace(' ', "");
            let cookie = unspaced(&seen.all("cookie").concat());
            assert_eq!(
                cookie.trim_end_matches(';'),
                unspaced(reaches).trim_end_matches(';')
            );
            assert_eq!((seen.method(), seen.target()), ("POST", "/login?next=/"));
            assert_eq!(seen.body(), "a password");
        }
    });
}

#[test]
fn a_seal_that_is_over_never_reaches_the_app_however_it_is_spelled() {
    let service = service();
    for (number, (kind, file)) in FOR_VISITORS.iter().enumerate() {
        behind(&[(*kind, file)], service.public, |proxy, _app| {
            let (over, live) = (seal(&format!("over-{number}")), seal("live"));
            assert_eq!(logout(proxy, &over), "true");
            assert_eq!(logout(proxy, &over), "false");
            let session = |value: &str| format!("neptun-session={value}").into_bytes();
            let spellings: [Vec<u8>; 8] = [
                session(&over),
                session(&format!("\"{over}\"")),
                session(&over.replace('*', "%2a")),
                session(&format!("{live}; neptun-session={over}")),
                session(&format!("{over}; neptun-session={live}")),
                format!("a=1;\tneptun-session\t=\t{over}\t; b=2").into_bytes(),
                [b"a; ", &session(&over)[..]].concat(),
                // JavaScript's `trim` takes the no-break space for a space.
                [b"\xa0", &session(&over)[..], b"; ", &session(&live)].concat(),
            ];
            for cookie in spellings {
                let ask = Ask::get("/").header("cookie", cookie);
                assert_visitor(&Seen::by_app(&ask.send(proxy.address)));
            }
            // Several lines, and the header that h3 reads before the cookie.
            let header = |value: &str| Ask::get("/").header("X-Neptun-Session-Session", value);
            for ask in [
                Ask::get("/").session(&live).session(&over),
                Ask::get("/")
                    .session(&over)
                    .header("cookie", "a=1")
                    .session(&live),
                header(&over),
                header(&over).session(&live),
                header(&over).session(&over),
            ] {
                assert_visitor(&Seen::by_app(&ask.send(proxy.address)));
            }
            let still = Seen::by_app(&header(&live).session(&live).send(proxy.address));
            assert_eq!(still.all("remote-user"), ["5"]);
        });
    }
}

#[test]
fn where_only_members_are_let_in_a_revoked_seal_in_the_header_is_no_way_in() {
    let service = service();
    for (number, (kind, file)) in FOR_MEMBERS.iter().enumerate() {
        behind(&[(*kind, file)], service.public, |proxy, app| {
            let (over, live) = (seal(&format!("member-{number}")), seal("live"));
            let header = |value: &str| Ask::get("/").header("X-Neptun-Session-Session", value);
            let status = |ask: Ask| ask.send(proxy.address).status;
            assert_eq!(status(header(&over).session(&live)), 200);
            assert_eq!(logout(proxy, &over), "true");
            let reached = app.requests();
            assert_eq!(status(header(&over).session(&live)), 401);
            assert_eq!(status(header(&over)), 401);
            for [first, second] in [[&live, &over], [&over, &live]] {
                let two_lines = Ask::get("/").session(first).session(second);
                assert_eq!(status(two_lines), 401);
                assert_eq!(
                    status(header(first).header("x-neptun-session-session", second)),
                    401
                );
            }
            assert_eq!(app.requests(), reached);
        });
    }
}

#[test]
fn the_apps_own_sign_out_ends_the_session_and_reading_it_still_reaches_the_app() {
    let service = service();
    let everywhere = [&FOR_VISITORS[..], &FOR_MEMBERS].concat();
    for (number, (kind, file)) in everywhere.iter().enumerate() {
        behind(&[(*kind, file)], service.public, |proxy, app| {
            let seal = seal(&format!("sign-out-{number}"));
            let ask = |method| Ask::new(method, "/api/_auth/session").session(&seal);
            let read = Seen::by_app(&ask("GET").send(proxy.address));
            assert_eq!(read.target(), "/api/_auth/session");
            assert_eq!(read.all("remote-user"), ["5"]);

            let answer = ask("DELETE").send(proxy.address);
            assert_eq!((answer.status, app.requests()), (200, 1), "{answer:?}");
            assert_eq!(answer.json(), json!({ "loggedOut": true }));
            assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"));

            let read = ask("GET").send(proxy.address);
            if file.starts_with("web-app") {
                assert_visitor(&Seen::by_app(&read));
            } else {
                assert_eq!((read.status, app.requests()), (401, 1));
            }
            // A login after it, as the app would seal it.
            let anew = self::seal(&format!("login-{number}"));
            let ask = Ask::get("/").session(&anew);
            assert_eq!(ask.send(proxy.address).status, 200);
        });
    }
}

#[test]
fn when_the_store_is_down_not_even_a_visitor_reaches_the_app() {
    for (kind, file) in FOR_VISITORS {
        let service = FaultyService::start();
        let token = service.token_of("42");
        service.fail(Fault::Refuses);
        behind(&[(kind, file)], service.public, |proxy, app| {
            let answer = Ask::get("/").session(&token).send(proxy.address);
            assert_eq!((answer.status, app.requests()), (503, 0));
            assert_eq!(answer.header("set-cookie"), None);
        });
    }
}

#[test]
fn visitors_too_are_asked_about_over_connections_that_are_kept() {
    let service = service();
    for (kind, file) in FOR_VISITORS {
        let relay = Relay::to(service.public);
        behind(&[(kind, file)], relay.address, |proxy, app| {
            for _ in 0..20 {
                for session in ["dead", &seal("live")] {
                    let answer = Ask::get("/").session(session).send(proxy.address);
                    assert_eq!(answer.status, 200);
                }
            }
            let opened = (app.connections(), relay.connections());
            assert!(opened.0 <= 4 && opened.1 <= 6, "{kind:?} opened {opened:?}");
        });
    }
}

#[test]
fn with_another_name_in_every_marked_place_the_files_guard_any_nuxt_app() {
    let readme = include_str!("../proxies/README.md");
    let program = readme.split("`sed '").nth(1).unwrap().split("'`").next();
    let mut command = binary();
    command.args(["--cookie-name", "nuxt-session"]);
    command.env("NUXT_SESSION_PASSWORD", PASSWORD);
    let service = Service::spawn(command);
    for (number, (kind, file)) in configurations().enumerate() {
        println!("behind {kind:?} with {file}");
        let app = EchoApp::start();
        let proxy = Proxy::renamed(kind, file, program.unwrap(), service.public, app.address);
        let seal = seal(&format!("nuxt-{number}"));
        let ask = |method, target| {
            let ask = Ask::new(method, target).header("cookie", format!("nuxt-session={seal}"));
            ask.header("x-nuxt-session-session", &seal)
                .send(proxy.address)
        };
        let seen = Seen::by_app(&ask("GET", "/"));
        assert_eq!(seen.all("remote-user"), ["5"]);
        assert_eq!(seen.all("x-nuxt-session-session"), [&seal]);
        assert_eq!(ask("POST", "/api/auth/logout").body, "true");
        for target in ["/", "/login"] {
            let copied = ask("GET", target);
            if copied.status != 401 {
                assert!(!Seen::by_app(&copied).has(&seal), "{target}");
            }
        }
    }
}

/// The value of the session cookie that an answer sets.
fn session_set_by(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    let cookies = answer
        .headers
        .iter()
        .filter(|(name, _)| name == "set-cookie");
    let mut sessions = cookies.filter_map(|(_, set)| set.strip_prefix("neptun-session="));
    let value = sessions.next_back().unwrap().split(';').next();
    value.unwrap().to_owned()
}

#[test]
fn with_the_real_h3_a_copied_cookie_is_worth_nothing_after_the_sign_out() {
    let service = service();
    for (kind, file) in FOR_VISITORS {
        let app = WebApp::start(PASSWORD);
        let proxy = Proxy::start(kind, file, service.public, app.address);
        let log_in = |ask: Ask| session_set_by(&ask.send(proxy.address));
        let session = |method, cookie: &[u8]| {
            let ask = Ask::new(method, "/api/_auth/session").header("cookie", cookie);
            ask.send(proxy.address).json()
        };
        let known = json!({ "user": { "id": 5 } });
        let copied = log_in(Ask::post("/login"));
        let cookie = format!("neptun-session={copied}").into_bytes();
        assert_eq!(session("GET", &cookie), known, "{kind:?}");
        assert_eq!(session("DELETE", &cookie), json!({ "loggedOut": true }));

        assert_eq!(session("GET", &cookie), json!({}), "{kind:?}");
        // h3 would take the first of the two, whatever JavaScript trims around its name.
        let own = log_in(Ask::post("/login"));
        for disguised in [&cookie[..], &[b"\xa0", &cookie[..]].concat()] {
            let both = [disguised, b"; neptun-session=", own.as_bytes()].concat();
            assert_eq!(session("GET", &both), json!({}), "{kind:?}");
        }
        // Whoever still holds the old cookie logs in again and is in.
        let anew = log_in(Ask::post("/login").session(&copied));
        let cookie = format!("neptun-session={anew}");
        assert_eq!(session("GET", cookie.as_bytes()), known, "{kind:?}");
    }
}

/// The README's files, each with the real h3 behind it.
fn behind_each_with_h3(service: &Service, test: impl Fn(&Proxy, &WebApp)) {
    for (kind, file) in [&FOR_VISITORS[..], &FOR_MEMBERS].concat() {
        let app = WebApp::start(PASSWORD);
        let proxy = Proxy::start(kind, file, service.public, app.address);
        println!("behind {kind:?} with {file}");
        test(&proxy, &app);
    }
}

/// Whether the app takes the request for a user's.
fn knows(address: SocketAddr, ask: &Ask) -> bool {
    let answer = ask.send(address);
    match answer.status {
        // No parser of ours has to read what a user put into it.
        200 => answer.body != "{}",
        401 => false,
        _ => panic!("{answer:?}"),
    }
}

fn read_session() -> Ask {
    Ask::get("/api/_auth/session")
}

#[test]
fn with_the_real_h3_nothing_a_user_puts_into_a_session_keeps_it_alive() {
    let service = service();
    let nested = |depth: usize| format!("{}1{}", r#"{"x":"#.repeat(depth), "}".repeat(depth));
    behind_each_with_h3(&service, |proxy, app| {
        for held in [
            r#"{"$serde_json::private::RawValue":"]"}"#,
            r#"{"$serde_json::private::Number":"x"}"#,
            r#"{"__proto__":{"id":6}}"#,
            "\"\\ud83d\"",
            &nested(125),
            &nested(500),
        ] {
            let log_in = |held| session_set_by(&Ask::post("/login").body(held).send(app.address));
            let (seal, live) = (log_in(held), log_in("null"));
            let both = read_session().session(&format!("{seal}; neptun-session={live}"));
            assert!(knows(proxy.address, &both), "{held}");
            assert_eq!(logout(proxy, &seal), "true", "{held}");
            assert_eq!(logout(proxy, &seal), "false", "{held}");
            assert!(knows(app.address, &read_session().session(&seal)));
            assert!(!knows(proxy.address, &read_session().session(&seal)));
            assert!(!knows(proxy.address, &both), "{held}");
        }
    });
}

#[test]
fn with_the_real_h3_a_malformed_seal_reaches_the_app_through_no_proxy() {
    let service = service();
    behind_each_with_h3(&service, |proxy, app| {
        let live = session_set_by(&Ask::post("/login").send(app.address));
        let data = json!({ "user": { "id": 5 } });
        for payload in [
            json!({ "id": 5, "createdAt": 1, "data": data }),
            json!({ "id": true, "data": data }),
            json!({ "createdAt": 1, "data": data }),
            json!({ "id": "one", "createdAt": "1", "data": data }),
        ] {
            let seal = seal_of(&payload.to_string());
            assert!(
                knows(app.address, &read_session().session(&seal)),
                "{payload}"
            );
            for [first, second] in [[&seal, &live], [&live, &seal]] {
                let both = format!("{first}; neptun-session={second}");
                assert!(!knows(proxy.address, &read_session().session(&both)));
                let header = read_session().header("x-neptun-session-session", first);
                assert!(!knows(proxy.address, &header.session(second)));
            }
        }
        assert!(knows(proxy.address, &read_session().session(&live)));
    });
}

#[test]
fn with_the_real_h3_a_seal_in_the_header_ends_with_logout_and_with_sign_out() {
    let service = service();
    behind_each_with_h3(&service, |proxy, app| {
        for (method, target) in [
            ("POST", "/api/auth/logout"),
            ("DELETE", "/api/_auth/session"),
        ] {
            let seal = session_set_by(&Ask::post("/login").send(app.address));
            let header = |ask: Ask| ask.header("x-neptun-session-session", &seal);
            assert!(knows(proxy.address, &header(read_session())));
            let ended = header(Ask::new(method, target)).send(proxy.address);
            assert_eq!(ended.status, 200, "{ended:?}");
            assert!(knows(app.address, &header(read_session())));
            assert!(!knows(proxy.address, &header(read_session())));
            assert!(!knows(proxy.address, &read_session().session(&seal)));
        }
    });
}
