//! The login page: reached without a session, and where a browser without one is led.

use super::{behind_each, forging};
use crate::sealed::mint;
use crate::support::echo::Seen;
use crate::support::proxy::Kind;
use crate::support::{Ask, Service};

#[test]
fn the_login_page_and_what_lies_below_it_need_no_session() {
    let service = Service::start();
    behind_each(service.public, |proxy, _app| {
        for target in [
            "/login",
            "/login?return_to=/a/../b?c=d&e",
            "/login/",
            "/login/app.3f2a.js",
            "/login/fonts/a-b_c~d.woff2",
        ] {
            let ask = forging(Ask::post(target)).body("user=42&password=secret");
            let seen = Seen::by_app(&ask.send(proxy.address));
            assert_eq!((seen.method(), seen.target()), ("POST", target));
            assert_eq!(seen.body(), "user=42&password=secret");
            for claim in ["remote-user", "remote-session", "remote-auth-time"] {
                assert!(seen.all(claim).is_empty(), "{seen:?}");
            }
            assert!(!seen.has("forged"), "{seen:?}");
        }
    });
}

#[test]
fn no_other_path_is_taken_for_the_login_page() {
    let service = Service::start();
    behind_each(service.public, |proxy, app| {
        for target in [
            "/login/../private",
            "/login/..",
            "/login/%2e%2e/private",
            "/login%2f..%2fprivate",
            "/login/..%2fprivate",
            "/login/..;/private",
            "/login/a;/../../private",
            "/private/..%2flogin",
            "/login.html",
            "/loginx",
            "/LOGIN",
            "/private?/login",
            "/private;/login",
        ] {
            let answer = Ask::get(target).send(proxy.address);
            assert!([400, 401].contains(&answer.status), "{target}: {answer:?}");
        }
        assert_eq!(app.requests(), 0);
        // These lead to the login page in the end. What the app must not get is one of them as it
        // stands, for the app may read it differently; Traefik has it read what Traefik read.
        for target in ["/private/../login", "//login", "/private/%2e%2e/login"] {
            let answer = Ask::get(target).send(proxy.address);
            if proxy.kind == Kind::Traefik {
                assert_eq!(Seen::by_app(&answer).target(), "/login");
            } else {
                assert_eq!(answer.status, 401, "{target}: {answer:?}");
                assert_eq!(app.requests(), 0);
            }
        }
    });
}

#[test]
fn a_browser_on_its_way_to_a_page_is_led_to_the_login_page_and_a_script_is_not() {
    let service = Service::start();
    let way = "/a%20page?a=b&c=%2F%3D&d=/login?return_to=/e";
    let navigations = [
        ("sec-fetch-mode", "navigate"),
        ("accept", "text/html"),
        (
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        ),
    ];
    let scripts = [
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-mode", "no-cors"),
        ("accept", "*/*"),
        ("accept", "application/json"),
    ];
    behind_each(service.public, |proxy, app| {
        for token in ["", "forged"] {
            let ask = |(name, value): (&str, &str)| {
                let ask = Ask::get(way).session(token).header(name, value);
                ask.send(proxy.address)
            };
            for navigation in navigations {
                let answer = ask(navigation);
                assert_eq!(answer.status, 302, "{answer:?}");
                let location = answer.header("location").unwrap();
                assert_eq!(location, format!("/login?return_to={way}"));
                assert_eq!(answer.header("set-cookie"), None);
            }
            for script in scripts {
                assert_eq!(ask(script).status, 401);
            }
        }
        assert_eq!(app.requests(), 0);
        // With a session both are let in.
        let token = service.token_of("42");
        for (name, value) in navigations.into_iter().chain(scripts) {
            let ask = Ask::get(way).session(&token).header(name, value);
            Seen::by_app(&ask.send(proxy.address));
        }
    });
}

#[test]
fn a_seal_does_not_reach_the_login_page_and_an_issued_session_does() {
    let service = Service::start();
    let token = service.token_of("42");
    let password = "the-web-apps-own-session-password";
    let seal = mint::seal(password, r#"{"id":"one","createdAt":1}"#, None);
    behind_each(service.public, |proxy, _app| {
        let open = |cookie: &[u8]| {
            let ask = Ask::get("/login").header("cookie", cookie);
            let ask = ask.header("X-Neptun-Session-Session", &seal);
            Seen::by_app(&ask.send(proxy.address))
        };
        let session = format!("neptun-session={seal}");
        let quoted = format!("a=1; neptun-session=\"{seal}\"; b=2");
        let encoded = format!("a=1;neptun-session={};b=2", seal.replace('*', "%2a"));
        let spaced = format!("a=1; neptun-session = {seal} ; b=2");
        let disguised = seal.replacen('F', "%46", 1);
        let behind_issued = format!("neptun-session={token}; {session}");
        let before_issued = format!("{session}; neptun-session={token}");
        for cookie in [
            session.as_bytes(),
            quoted.as_bytes(),
            encoded.as_bytes(),
            spaced.as_bytes(),
            format!("neptun-session={disguised}").as_bytes(),
            format!("{session}; {session}; {session}").as_bytes(),
            behind_issued.as_bytes(),
            before_issued.as_bytes(),
            // JavaScript's `trim` takes the no-break space for a space.
            &[b"\xa0", session.as_bytes()].concat(),
        ] {
            let seen = open(cookie);
            assert!(!seen.has("e26.2"), "{seen:?}");
            assert!(seen.all("x-neptun-session-session").is_empty());
        }
        let others = format!("theme=dark; neptun-session={token}; other=Fe26");
        assert_eq!(open(others.as_bytes()).all("cookie"), [others]);
        // Beside a seal, Traefik has to drop them all.
        let kept = open(quoted.as_bytes()).all("cookie").concat();
        let kept = kept.replace(' ', "");
        let expected = if proxy.kind == Kind::Traefik {
            ""
        } else {
            "a=1;b=2"
        };
        assert_eq!(kept, expected);
    });
}
