//! `neptun-auth sessions`: what an operator asks of the service that runs.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::faulty::{Fault, FaultyService};
use crate::support::ports::free_address;
use crate::support::service::binary;
use crate::support::{ADMIN_TOKEN, Scratch, Service};

/// What a command said: its exit code, its lines of JSON, and its line for people.
#[derive(Debug)]
struct Said {
    code: i32,
    lines: Vec<Value>,
    told: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let lines = String::from_utf8(output.stdout).unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        Self {
            code: output.status.code().unwrap(),
            lines: lines
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
            told: told.trim_end().to_owned(),
        }
    }
}

/// The binary with the settings of a service, which is at `admin`, in its environment.
fn operator(admin: SocketAddr) -> Command {
    let mut command = binary();
    command.env("NEPTUN_AUTH_ADMIN_LISTEN", admin.to_string());
    command.env("NEPTUN_AUTH_ADMIN_TOKEN", ADMIN_TOKEN);
    command.arg("sessions");
    command
}

fn run(admin: SocketAddr, args: &[&str]) -> Said {
    operator(admin).args(args).output().unwrap().into()
}

#[test]
fn sessions_are_issued_listed_and_ended() {
    let service = Service::start();
    let user = "a b/c";
    let issued: Vec<Value> = (0..3)
        .map(|_| {
            let mut said = run(service.admin, &["issue", user]);
            assert_eq!((said.code, said.lines.len()), (0, 1), "{said:?}");
            said.lines.remove(0)
        })
        .collect();
    let token = |nth: usize| issued[nth]["token"].as_str().unwrap();
    assert!(service.is_live(token(0)));

    let listed = run(service.admin, &["list", user]);
    assert_eq!((listed.code, listed.lines.len()), (0, 3), "{listed:?}");
    for (listed, issued) in listed.lines.iter().zip(&issued) {
        assert_eq!(listed["id"], issued["id"]);
        assert_eq!(listed["user"], user);
    }

    let id = issued[0]["id"].as_str().unwrap();
    let ended = run(service.admin, &["end", id]);
    assert_eq!(
        (ended.code, ended.lines),
        (0, vec![json!({ "revoked": 1 })])
    );
    assert!(!service.is_live(token(0)) && service.is_live(token(1)));
    let again = run(service.admin, &["end", id]);
    assert_eq!(again.code, 3);
    assert_eq!(again.told, "neptun-auth: No such session (404)");

    let ended = run(service.admin, &["end", "--user", user]);
    assert_eq!(
        (ended.code, ended.lines),
        (0, vec![json!({ "revoked": 2 })])
    );
    assert!(!service.is_live(token(1)));
    let again = run(service.admin, &["end", "--user", user]);
    assert_eq!(
        (again.code, again.lines),
        (3, vec![json!({ "revoked": 0 })])
    );
    let listed = run(service.admin, &["list", user]);
    assert_eq!((listed.code, listed.lines.len()), (3, 0));
    assert_eq!(
        listed.told,
        format!("neptun-auth: {user} has no live session")
    );
}

#[test]
fn on_a_terminal_it_is_a_table_unless_json_is_asked_for() {
    let service = Service::start();
    let on_terminal = |args: &str| -> Vec<String> {
        let sessions = operator(service.admin);
        let mut script = Command::new("script");
        script.envs(
            sessions
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        let program = sessions.get_program().to_str().unwrap();
        script.args(["-qec", &format!("{program} sessions {args}"), "/dev/null"]);
        let output = script.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let shown = String::from_utf8(output.stdout).unwrap();
        shown.lines().map(str::to_owned).collect()
    };
    let issued = on_terminal("issue 42");
    let words = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(words(&issued[0]), ["COOKIE", "EXPIRES", "ID"]);
    let [cookie, expires, id] = words(&issued[1]).try_into().unwrap();
    assert!(service.is_live(cookie.strip_prefix("neptun-session=").unwrap()));

    let listed = on_terminal("list 42");
    assert_eq!(
        words(&listed[0]),
        ["ID", "CREATED", "LAST", "SEEN", "EXPIRES"]
    );
    let row = words(&listed[1]);
    assert_eq!((&row[0], &row[3], listed.len()), (&id, &expires, 2));
    let listed: Value = serde_json::from_str(&on_terminal("list 42 --json")[0]).unwrap();
    assert_eq!(listed["id"], id);
    assert_eq!(on_terminal("end --user 42"), ["ENDED", "1"]);
}

#[test]
fn what_is_not_confirmed_refused_or_not_answered_is_1() {
    let service = FaultyService::start();
    service.fail(Fault::AppliesThenFails);
    let said = run(service.admin, &["end", "--user", "42"]);
    assert_eq!(said.code, 1);
    assert_eq!(
        said.told,
        "neptun-auth: Sessions could not be revoked (500)"
    );
    for (args, told) in [
        (["list", "42"], "The session store is unavailable (503)"),
        (["issue", "42"], "The session store is unavailable (503)"),
    ] {
        let said = run(service.admin, &args);
        assert_eq!((said.code, said.told), (1, format!("neptun-auth: {told}")));
    }
    let mut wrong = operator(service.admin);
    wrong.env("NEPTUN_AUTH_ADMIN_TOKEN", "another-token-of-nobody");
    let said = Said::from(wrong.args(["list", "42"]).output().unwrap());
    assert_eq!(said.code, 1);
    assert_eq!(
        said.told,
        "neptun-auth: A valid admin token is needed (401)"
    );

    let nobody = free_address();
    let said = run(nobody, &["end", "--user", "42"]);
    assert_eq!(said.code, 1);
    let begins = format!("neptun-auth: no answer from {nobody}: ");
    assert!(said.told.starts_with(&begins), "{said:?}");
}

#[test]
fn wrong_use_is_one_line_and_2() {
    let service = Service::start();
    for (args, told) in [
        (&["list"][..], "<USER> is missing"),
        (&["end"], "<ID|--user <USER>> is missing"),
        (
            &["end", "1", "--user", "2"],
            "[ID]: not together with --user <USER>",
        ),
        (&["end", "--user"], "--user: a value is missing"),
        (
            &["list", "42", "--jsn"],
            "--jsn: no such flag; the nearest is --json",
        ),
        (
            &["issue", "."],
            "user: must not be . or .., which no URL can name (422)",
        ),
        (
            &["lst", "42"],
            "lst: neither a flag nor a command; commands: healthcheck, sessions list, sessions \
             end, sessions issue",
        ),
    ] {
        let said = run(service.admin, args);
        assert_eq!((said.code, said.told), (2, format!("neptun-auth: {told}")));
    }
    let mut none = operator(service.admin);
    none.env_remove("NEPTUN_AUTH_ADMIN_TOKEN")
        .args(["list", "42"]);
    let said = Said::from(none.output().unwrap());
    assert_eq!(said.code, 2);
    assert!(
        said.told.starts_with("neptun-auth: --admin-token-file "),
        "{said:?}"
    );
}

#[test]
fn of_several_tokens_in_a_file_it_takes_the_first_and_judges_no_other_setting() {
    let service = Service::start();
    let scratch = Scratch::new("cli");
    let path = scratch.join("tokens");
    fs::write(
        &path,
        format!("\n{ADMIN_TOKEN}\r\nthe-one-that-comes-next\n"),
    )
    .unwrap();
    let mut command = operator(service.admin);
    command.env_remove("NEPTUN_AUTH_ADMIN_TOKEN");
    command
        .env("NEPTUN_AUTH_STORE", "nowhere")
        .args(["issue", "42"]);
    command.arg("--admin-token-file").arg(&path);
    let said = Said::from(command.output().unwrap());
    assert_eq!(said.code, 0, "{said:?}");
}
