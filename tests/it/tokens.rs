//! The tokens of `/admin`: several of them, and those that only read.

use crate::support::service::{binary, run_to_end};
use crate::support::{Answer, Ask, Scratch, Service, assert_envelope};

const OLD: &str = "the-token-that-is-going";
const NEW: &str = "the-token-that-is-coming";
const READER: &str = "the-token-of-a-dashboard";

/// A file of tokens, and its path.
fn file(scratch: &Scratch, name: &str, text: &str) -> String {
    scratch.write(name, text)
}

fn service(args: &[&str]) -> Service {
    let mut command = binary();
    command.args(args);
    Service::spawn(command)
}

fn ask(service: &Service, method: &str, target: &str, token: &str) -> Answer {
    let ask = Ask::new(method, target).header("authorization", format!("Bearer {token}"));
    let ask = if method == "POST" {
        ask.json(r#"{"user":"42"}"#)
    } else {
        ask
    };
    ask.send(service.admin)
}

#[test]
fn any_token_of_the_file_is_right() {
    let scratch = Scratch::new("tokens-several");
    let path = file(&scratch, "tokens", &format!("\u{feff}{NEW}\r\n\n{OLD}\n"));
    let service = service(&["--admin-token-file", &path]);
    for token in [OLD, NEW] {
        assert_eq!(ask(&service, "POST", "/admin/sessions", token).status, 201);
    }
    let both = format!("{NEW}\n{OLD}").replace('\n', " ");
    for wrong in [&both, &NEW[..20], READER] {
        assert_eq!(ask(&service, "POST", "/admin/sessions", wrong).status, 401);
    }
}

#[test]
fn a_reader_token_is_for_get_alone() {
    let scratch = Scratch::new("tokens-reader");
    let admins = file(&scratch, "admins", NEW);
    let readers = file(&scratch, "readers", &format!("{OLD}\n{READER}\n"));
    let service = service(&[
        "--admin-token-file",
        &admins,
        "--reader-token-file",
        &readers,
    ]);
    let issued = ask(&service, "POST", "/admin/sessions", NEW).json();
    let one = format!("/admin/sessions/{}", issued["id"].as_str().unwrap());
    let of_user = "/admin/users/42/sessions";
    for reader in [OLD, READER] {
        for (method, target) in [
            ("POST", "/admin/sessions"),
            ("DELETE", of_user),
            ("DELETE", &one),
            ("POST", "/admin/none"),
        ] {
            assert_envelope(
                &ask(&service, method, target, reader),
                403,
                "Forbidden",
                "A reader token is for GET alone; an admin token is needed",
            );
        }
        let listed = ask(&service, "GET", of_user, reader).json();
        assert_eq!(listed["sessions"].as_array().unwrap().len(), 1);
    }
    assert_eq!(
        ask(&service, "GET", of_user, "another-token-of-nobody").status,
        401
    );
    assert_eq!(ask(&service, "GET", of_user, NEW).status, 200);
}

#[test]
fn readers_may_read_where_nobody_may_do_more() {
    let scratch = Scratch::new("tokens-only-readers");
    let readers = file(&scratch, "readers", READER);
    let service = service(&["--reader-token-file", &readers]);
    let of_user = "/admin/users/42/sessions";
    assert_eq!(ask(&service, "GET", of_user, READER).status, 200);
    assert_eq!(ask(&service, "DELETE", of_user, READER).status, 403);
    assert_eq!(ask(&service, "DELETE", of_user, NEW).status, 401);
}

#[test]
fn a_token_that_is_none_is_named_by_its_place_and_never_shown() {
    let scratch = Scratch::new("tokens-faults");
    let weak = file(&scratch, "weak", &format!("{NEW}\nhunter2\n"));
    let reader = file(&scratch, "reader", &format!("{READER}\n{NEW}\n"));
    let admin = file(&scratch, "admin", &format!("{OLD}\n{NEW}\n"));
    let empty = file(&scratch, "empty", "\n");
    for (args, line) in [
        (
            vec!["--admin-token-file", &weak],
            format!(
                "--admin-token-file (NEPTUN_AUTH_ADMIN_TOKEN_FILE): token 2 of {weak}: at least 16 "
            ),
        ),
        (
            vec!["--reader-token-file", &weak],
            format!(
                "--reader-token-file (NEPTUN_AUTH_READER_TOKEN_FILE): token 2 of {weak}: at least 16 "
            ),
        ),
        (
            vec!["--reader-token-file", &empty],
            "--reader-token-file (NEPTUN_AUTH_READER_TOKEN_FILE): at least 16 ".to_owned(),
        ),
        (
            vec!["--admin-token-file", &admin, "--reader-token-file", &reader],
            "--reader-token-file (NEPTUN_AUTH_READER_TOKEN_FILE): token 2 is an admin token too"
                .to_owned(),
        ),
    ] {
        let output = run_to_end(&args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with(&format!("neptun-auth: {line}")), "{said}");
        assert!(
            said.lines().count() == 1 && !said.contains("hunter2"),
            "{said}"
        );
    }
}
