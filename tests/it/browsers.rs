//! A real Chromium: pages that call the service with `fetch`, as the README's client does.

use crate::support::Service;
use crate::support::browser::Browser;
use crate::support::pages::Pages;

/// Calls the service with the README's client, which the page's own server serves.
fn logout(browser: &Browser, service: &str) -> String {
    let script = format!(
        "const {{ logout }} = await import('/logout.mjs'); return await logout('{service}')"
    );
    browser.run(&script).as_str().unwrap().to_owned()
}

fn refused(service: &Service) -> u64 {
    let series = "neptun_auth_logouts_total{outcome=\"forbidden\"}";
    service.metric(series).unwrap()
}

/// Pages of `friend`, which is allowed, log out; those of `foreign` do not. A browser sends the
/// session along with the requests of both.
fn assert_pages_may(same_site: &str, friend: (&Pages, &str), foreign: (&Pages, &str)) {
    let allowed = friend.0.origin(friend.1);
    let service = Service::with(&[
        "--allowed-origins",
        &allowed,
        "--cookie-same-site",
        same_site,
    ]);
    let base = format!("http://localhost:{}", service.public.port());
    let browser = Browser::start();
    let token = friend.0.log_in_at(&service);
    browser.open(&format!("{}/login", friend.0.origin("localhost")));
    assert_eq!(browser.cookies(), ["neptun-session"]);

    browser.open(&foreign.0.origin(foreign.1));
    let said = logout(&browser, &base);
    assert_eq!(said, "Error: no answer that can be read");
    assert_eq!(refused(&service), 1);
    let blind = format!(
        "const answer = await fetch('{base}/api/auth/logout', \
         {{ method: 'POST', credentials: 'include', mode: 'no-cors' }}); return answer.type"
    );
    assert_eq!(browser.run(&blind), "opaque");
    assert_eq!(refused(&service), 2);
    assert!(service.is_live(&token));

    browser.open(&allowed);
    let plain = format!(
        "const answer = await fetch('{base}/api/auth/check', {{ credentials: 'include' }}); \
         return answer.status"
    );
    assert_eq!(browser.run(&plain), 204);
    let fetched = format!(
        "const answer = await fetch('{base}/api/auth/logout', \
         {{ method: 'POST', credentials: 'include' }}); return await answer.json()"
    );
    assert_eq!(browser.run(&fetched), true);
    assert!(!service.is_live(&token));
    assert_eq!(logout(&browser, &base), "no session cookie");
    assert_eq!(browser.run(&plain), 401);
    browser.open(&friend.0.origin("localhost"));
    assert!(browser.cookies().is_empty(), "{:?}", browser.cookies());

    let again = friend.0.log_in_at(&service);
    browser.open(&format!("{}/login", friend.0.origin("localhost")));
    browser.open(&allowed);
    assert_eq!(logout(&browser, &base), "logged out");
    assert!(!service.is_live(&again));
}

#[test]
fn pages_of_another_port_log_out_if_allowed_and_are_refused_if_not() {
    let (friend, foreign) = (Pages::start(), Pages::start());
    assert_pages_may("lax", (&friend, "localhost"), (&foreign, "localhost"));
}

#[test]
fn pages_of_another_site_log_out_if_allowed_and_are_refused_if_not() {
    let pages = Pages::start();
    assert_pages_may(
        "none",
        (&pages, "app.localhost"),
        (&pages, "evil.localhost"),
    );
}
