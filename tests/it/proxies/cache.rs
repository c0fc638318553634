//! What a browser keeps of what users were shown.

use axum::body::Body;

use crate::support::browser::Browser;
use crate::support::proxy::{FOR_MEMBERS, FOR_VISITORS, Proxy, configurations};
use crate::support::server::TestServer;
use crate::support::{Ask, Service};

const PAGE: &str = "<title>private</title><script src=/app.js></script>";

/// An app that would have everything cached for an hour.
fn app() -> TestServer {
    TestServer::start(|request| {
        let (kind, body) = match request.uri().path() {
            "/page" => ("text/html; charset=utf-8", PAGE),
            "/upper" => ("Text/HTML", PAGE),
            "/data" => ("application/json", "{}"),
            "/problem" => ("application/problem+json", "{}"),
            "/app.js" => ("text/javascript", "document.body.append('loaded')"),
            "/photo.png" => ("image/png", ""),
            _ => ("text/html", "<title>login</title>"),
        };
        let answer = http::Response::builder()
            .header("content-type", kind)
            .header("cache-control", "private, max-age=3600");
        std::future::ready(answer.body(Body::from(body)).unwrap())
    })
}

#[test]
fn pages_and_data_of_users_are_not_kept_and_other_assets_are_as_the_app_says() {
    let service = Service::start();
    let token = service.token_of("42");
    let app = app();
    let own = "private, max-age=3600";
    for (kind, file) in configurations() {
        let proxy = Proxy::start(kind, file, service.public, app.address);
        let takes_visitors = FOR_VISITORS.contains(&(kind, file));
        let without_session = if takes_visitors { "/page" } else { "/login" };
        for (target, token, expected) in [
            ("/page", &*token, "no-store"),
            ("/data", &token, "no-store"),
            ("/problem", &token, "no-store"),
            ("/app.js", &token, own),
            ("/photo.png", &token, own),
            (without_session, "", own),
        ] {
            let answer = Ask::get(target).session(token).send(proxy.address);
            assert_eq!(
                answer.header("cache-control"),
                Some(expected),
                "{file} {target}"
            );
        }
    }
}

#[test]
fn in_a_real_browser_back_shows_nothing_after_logout() {
    let service = Service::with(&["--cookie-secure", "false"]);
    let app = app();
    let browser = Browser::start();
    for (kind, file) in FOR_MEMBERS {
        println!("behind {kind:?}");
        let proxy = Proxy::start(kind, file, service.public, app.address);
        let url = |path: &str| format!("http://localhost:{}{path}", proxy.address.port());
        let title = || browser.run("return document.title");
        browser.open(&url("/page"));
        assert_eq!(title(), "login", "without a session it is led there");
        let way = browser.run("return location.href");
        assert_eq!(way, url("/login?return_to=/page"));
        browser.set_cookie("neptun-session", &service.token_of("42"));
        browser.open(&url("/page"));
        assert_eq!(title(), "private");
        let logout = "return await (await fetch('/api/auth/logout', { method: 'POST' })).json()";
        assert_eq!(browser.run(logout), true);
        browser.open(&url("/login?away"));
        browser.back();
        assert_eq!(title(), "login", "Back leads to the login page as well");
    }
}
