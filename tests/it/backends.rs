//! The login backends of `tests/backends`, behind nginx, in a real Chromium.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::browser::Browser;
use crate::support::express::Express;
use crate::support::ports::free_address;
use crate::support::proxy::{Kind, Proxy};
use crate::support::{ADMIN_TOKEN, Process, Service, python, wait_until};

/// With nginx in front of the backend; `origin` is that of its pages.
fn behind_nginx(service: &Service, backend: SocketAddr, work: impl FnOnce(&Service, &str)) {
    let proxy = Proxy::start(Kind::Nginx, "nginx.conf", service.public, backend);
    let origin = format!("http://localhost:{}", proxy.address.port());
    work(service, &origin);
}

fn log_in(browser: &Browser, password: &str) {
    browser.run_at_once(&format!(
        "document.querySelector('[name=user]').value = 'anna'; \
         document.querySelector('[name=password]').value = '{password}'; \
         document.querySelector('form').requestSubmit()"
    ));
}

fn path(browser: &Browser) -> Value {
    browser.run_at_once("return location.pathname + location.search")
}

fn text(browser: &Browser) -> String {
    let text = browser.run_at_once("return document.body.innerText");
    text.as_str().unwrap().to_owned()
}

/// The sessions that the page of the account shows, once they are so many.
fn items(browser: &Browser, count: usize) -> Vec<String> {
    let script = "return [...document.querySelectorAll('li')].map(li => li.innerText)";
    let mut items = Vec::new();
    wait_until("the page shows them", || {
        items = serde_json::from_value(browser.run_at_once(script)).unwrap();
        items.len() == count
    });
    items
}

fn click(browser: &Browser, button: &str) {
    browser.run_at_once(&format!("document.querySelector('{button}').click()"));
}

fn people_log_in_see_their_devices_and_end_them(service: &Service, origin: &str) {
    let (one, other) = (Browser::start(), Browser::start());
    for browser in [&one, &other] {
        browser.open(&format!("{origin}/?page=1"));
        assert_eq!(path(browser), "/login?return_to=/?page=1");
        log_in(browser, "wrong");
        wait_until("it says so", || text(browser).contains("That is not"));
        log_in(browser, "correct horse battery");
        wait_until("the account is shown", || path(browser) == "/?page=1");
    }
    let shown = items(&other, 2);
    assert!(
        shown.iter().all(|item| item.starts_with("Chrome on Linux")),
        "{shown:?}"
    );
    assert_eq!(service.list("anna").len(), 2);

    click(&other, "li button");
    assert!(items(&other, 1)[0].ends_with("this one"));
    assert_eq!(service.ended_for("self"), 1);
    one.open(&format!("{origin}/"));
    assert_eq!(path(&one), "/login?return_to=/", "it was ended");

    // Again, from a page that still has the old cookie: that is no second device.
    log_in(&one, "correct horse battery");
    wait_until("the account is shown", || path(&one) == "/");
    items(&one, 2);
    click(&one, "#others");
    items(&one, 1);
    other.open(&format!("{origin}/"));
    assert_eq!(path(&other), "/login?return_to=/");

    assert!(text(&one).contains("anna"));
    click(&one, "#logout");
    wait_until("it is logged out", || path(&one) == "/login");
    assert!(service.list("anna").is_empty());
    assert!(one.cookies().is_empty());
    one.back();
    assert!(!text(&one).contains("anna"), "{}", text(&one));
    one.open(&format!("{origin}/"));
    assert_eq!(path(&one), "/login?return_to=/");
}

#[test]
fn with_express_people_log_in_see_their_devices_and_end_them() {
    let service = Service::start();
    let express = Express::start(&service, Duration::from_secs(20));
    let work = people_log_in_see_their_devices_and_end_them;
    behind_nginx(&service, express.address, work);
}

#[test]
fn with_fastapi_people_log_in_see_their_devices_and_end_them() {
    let (service, address) = (Service::start(), free_address());
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/backends");
    let mut fastapi = Command::new(python());
    fastapi.args(["-P", "fastapi.py"]).current_dir(folder);
    fastapi.env("PYTHONDONTWRITEBYTECODE", "1");
    fastapi.env("AUTH_ADMIN", format!("http://{}", service.admin));
    fastapi.env("NEPTUN_AUTH_ADMIN_TOKEN", ADMIN_TOKEN);
    fastapi.env("PORT", address.port().to_string());
    let mut backend = Process::start(fastapi);
    backend.wait_until_up(|| TcpStream::connect(address).is_ok());
    behind_nginx(
        &service,
        address,
        people_log_in_see_their_devices_and_end_them,
    );
}
