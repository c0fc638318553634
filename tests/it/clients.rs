//! The README's three clients, as they stand, and the same contract seen by other clients with
//! their own cookie jars.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use axum::body::Body;

use crate::support::faulty::{Fault, FaultyService};
use crate::support::pages::Pages;
use crate::support::server::TestServer;
use crate::support::{Scratch, Service, at_once, node, npm_packages, python, run, tool};

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// A client of the README, called with the service's address and a session.
#[derive(Clone, Copy, Debug)]
enum Client {
    Curl,
    Python,
    JavaScript,
}

const CLIENTS: [Client; 3] = [Client::Curl, Client::Python, Client::JavaScript];

const CALL_PYTHON: &str = "
import sys
import httpx
from logout import NotKnown, logout
cookies = {'neptun-session': sys.argv[2]} if sys.argv[2] else {}
with httpx.Client(base_url=sys.argv[1], cookies=cookies) as client:
    try:
        print(logout(client).value)
    except NotKnown as problem:
        print('not known:', problem)
";

const CALL_JAVASCRIPT: &str = "
const [service, token] = process.argv.slice(1)
const { logout, NotKnown } = await import(process.env.CLIENT)
const headers = token ? { cookie: `neptun-session=${token}` } : {}
await logout(service, { headers }).then(console.log, error => {
  if (!(error instanceof NotKnown)) throw error
  console.log('not known:', error.message)
})
";

impl Client {
    /// What it says.
    fn logout(self, service: SocketAddr, token: &str) -> String {
        let base = format!("http://{service}");
        let scratch = Scratch::new("jar");
        let mut command = match self {
            Self::Curl => {
                let line = format!("127.0.0.1\tFALSE\t/\tFALSE\t0\tneptun-session\t{token}\n");
                let jar = scratch.write("jar", if token.is_empty() { "" } else { &line });
                let mut shell = Command::new("sh");
                shell.arg(clients().join("logout.sh")).arg(&base).arg(&jar);
                shell
            }
            Self::Python => {
                let mut interpreter = Command::new(python());
                interpreter.env("PYTHONDONTWRITEBYTECODE", "1");
                interpreter
                    .args(["-c", CALL_PYTHON, &base, token])
                    .current_dir(clients());
                interpreter
            }
            Self::JavaScript => {
                let mut node = node(CALL_JAVASCRIPT);
                node.env("CLIENT", clients().join("logout.mjs"));
                node.args([&base, token]);
                node
            }
        };
        let output = command.output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        said.trim_end()
            .replace("not known, try again:", "not known:")
    }
}

#[test]
fn each_tells_what_happened_to_the_session() {
    let service = Service::start();
    for client in CLIENTS {
        let token = service.token_of("42");
        let said = |token: &str| client.logout(service.public, token);
        assert_eq!(said(&token), "logged out", "{client:?}");
        assert!(!service.is_live(&token));
        assert_eq!(said(&token), "was over already", "{client:?}");
        assert_eq!(said(""), "no session cookie", "{client:?}");
    }
}

#[test]
fn none_takes_a_failure_for_a_no() {
    let service = FaultyService::start();
    let token = service.token_of("42");
    service.fail(Fault::Refuses);
    for client in CLIENTS {
        let said = client.logout(service.public, &token);
        assert!(said.starts_with("not known: "), "{client:?}: {said}");
        let named = said.contains("500") && said.contains("Session could not be cleared");
        assert!(named, "{client:?}: {said}");
    }
    service.fail(Fault::None);
    assert_eq!(Client::Curl.logout(service.public, &token), "logged out");
}

#[test]
fn none_takes_a_proxys_page_for_an_answer() {
    for status in [200, 502, 503] {
        let proxy = TestServer::start(move |_request| {
            let page = Body::from("<h1>Sorry</h1>");
            let answer = http::Response::builder().status(status).body(page);
            std::future::ready(answer.unwrap())
        });
        for client in CLIENTS {
            let said = client.logout(proxy.address, "token");
            assert!(said.starts_with("not known: "), "{client:?}: {said}");
        }
    }
}

#[test]
fn none_waits_for_ever_or_takes_silence_for_a_no() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let silent_address = silent.local_addr().unwrap();
    at_once(2 * CLIENTS.len(), |number| {
        let client = CLIENTS[number / 2];
        let address = [silent_address, nobody][number % 2];
        let said = client.logout(address, "token");
        assert!(said.starts_with("not known: "), "{client:?}: {said}");
    });
}

#[test]
fn curls_own_jar_is_empty_after_the_logout_and_keeps_the_cookie_of_a_failed_one() {
    let (service, pages) = (Service::start(), Pages::start());
    let scratch = Scratch::new("jar");
    let jar = scratch.join("own");
    let token = pages.log_in_at(&service);
    let base = format!("http://localhost:{}", service.public.port());
    let login = format!("{}/login", pages.origin("localhost"));
    let mut curl = Command::new(tool("curl"));
    run(curl.args(["-s", "-c"]).arg(&jar).arg(login));
    let holds = || std::fs::read_to_string(&jar).unwrap().contains(&token);
    let logout = |base: &str| {
        let script = clients().join("logout.sh");
        let output = Command::new("sh")
            .arg(script)
            .arg(base)
            .arg(&jar)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    assert!(holds());
    assert_eq!(logout("http://localhost:1"), (Some(1), String::new()));
    assert!(holds());
    assert_eq!(logout(&base), (Some(0), "logged out\n".to_owned()));
    assert!(!holds());
    assert_eq!(logout(&base), (Some(0), "no session cookie\n".to_owned()));
}

#[test]
fn httpxs_own_jar_is_empty_after_the_logout() {
    // Python's jar gives Secure cookies to https alone, and this is http.
    let (service, pages) = (Service::with(&["--cookie-secure=false"]), Pages::start());
    let token = pages.log_in_at(&service);
    let script = "
import sys
import httpx
from logout import logout
with httpx.Client(base_url=sys.argv[1]) as client:
    client.get(sys.argv[2])
    held = len(client.cookies)
    print(held, logout(client).value, len(client.cookies), logout(client).value, sep=', ')
";
    let base = format!("http://localhost:{}", service.public.port());
    let login = format!("{}/login", pages.origin("localhost"));
    let mut python = Command::new(python());
    python.env("PYTHONDONTWRITEBYTECODE", "1");
    let said = run(python
        .args(["-c", script, &base, &login])
        .current_dir(clients()));
    assert_eq!(said, "1, logged out, 0, no session cookie\n");
    assert!(!service.is_live(&token));
}

#[test]
fn ofetch_and_axios_see_booleans_and_the_envelope() {
    let (service, failing) = (Service::start(), FaultyService::start());
    failing.fail(Fault::Refuses);
    let script = "
import assert from 'node:assert/strict'
import axios from 'axios'
import { ofetch } from 'ofetch'
const [service, failing, one, two] = process.argv.slice(1)
const headers = token => ({ cookie: `neptun-session=${token}` })
const byOfetch = async (base, headers) => ofetch(`${base}/api/auth/logout`, { method: 'POST', headers })
const byAxios = async (base, headers) =>
  (await axios.post(`${base}/api/auth/logout`, undefined, { headers })).data
for (const [logout, token] of [[byOfetch, one], [byAxios, two]]) {
  assert.equal(await logout(service, headers(token)), true)
  assert.equal(await logout(service, headers(token)), false)
  const problem = error => [error.status ?? error.response.status, error.data ?? error.response.data]
  const [none, noneBody] = await logout(service, {}).catch(problem)
  assert.equal(none, 401)
  assert.equal(noneBody.data.message, 'No valid session')
  const [failed, failedBody] = await logout(failing, headers(token)).catch(problem)
  assert.equal(failed, 500)
  assert.deepEqual(failedBody, {
    statusCode: 500, statusMessage: 'Internal Server Error', data: { message: 'Session could not be cleared' },
  })
}
";
    let base = |address: SocketAddr| format!("http://{address}");
    let (one, two) = (service.token_of("1"), service.token_of("2"));
    run(node(script).args([&base(service.public), &base(failing.public), &one, &two]));
}

#[test]
fn typescript_finds_no_fault_with_the_types_of_the_javascript_client() {
    let mut tsc = Command::new(tool("node"));
    tsc.arg(npm_packages().join("node_modules/.bin/tsc"));
    tsc.args(["--noEmit", "--allowJs", "--checkJs", "--strict"]);
    tsc.args(["--target", "es2022", "--lib", "es2022,dom"]);
    run(tsc
        .args(["--module", "nodenext"])
        .arg(clients().join("logout.mjs")));
}
