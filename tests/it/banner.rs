//! What a person sees who starts the service in a terminal.

use std::fs::{File, OpenOptions};
use std::process::Command;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::readme;
use crate::support::service::{binary, listen_anywhere};
use crate::support::{Process, Scratch};

const TOKEN: &str = "an-admin-token-for-the-terminal";

/// The service with a terminal for its stderr.
fn in_terminal(mut command: Command) -> Process {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .open(name)
        .unwrap();
    listen_anywhere(&mut command);
    command.stderr(terminal);
    Process::heard_over(File::from(master), command)
}

/// Pastes the commands of a banner into a shell; what they print, a line each.
fn paste(banner: &[String], token: Option<&str>) -> Vec<String> {
    let begin = banner
        .iter()
        .position(|line| line.starts_with("  token="))
        .unwrap();
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(banner[begin..].join("\n"));
    shell.env_remove("NEPTUN_AUTH_ADMIN_TOKEN");
    if let Some(token) = token {
        shell.env("NEPTUN_AUTH_ADMIN_TOKEN", token);
    }
    let output = shell.output().unwrap();
    let mut said = String::from_utf8(output.stdout).unwrap();
    if token.is_none() {
        said += &String::from_utf8(output.stderr).unwrap();
    }
    said.lines().map(str::to_owned).collect()
}

fn shown(screen: &mut Process) -> Vec<String> {
    [" public ", "/api/auth/logout", "/api/auth/logout"]
        .map(|text| screen.lines_until(text))
        .concat()
}

#[test]
fn the_commands_on_the_screen_issue_a_session_and_end_it_once() {
    let mut command = binary();
    command.env("NEPTUN_AUTH_ADMIN_TOKEN", TOKEN);
    let mut screen = in_terminal(command);
    let lines = shown(&mut screen);
    assert!(!lines.concat().contains(TOKEN), "{lines:#?}");
    assert_eq!(paste(&lines, Some(TOKEN)), ["true", "false"], "{lines:#?}");
    // The README shows it as it is with the default ports.
    let address = |name: &str| {
        let start = format!("  {name:<6}  http://");
        let line = lines.iter().find_map(|line| line.strip_prefix(&start));
        line.unwrap().split(' ').next().unwrap().to_owned()
    };
    let shown = readme::block_with("  Try it in another terminal")
        .replace("127.0.0.1:8080", &address("public"))
        .replace("127.0.0.1:8081", &address("admin"));
    let begin = lines
        .iter()
        .position(|line| line.contains(" public "))
        .unwrap();
    assert_eq!(lines[begin..].join("\n"), shown.trim_end_matches('\n'));
    let without = paste(&lines, None).join("\n");
    assert!(
        without.contains("NEPTUN_AUTH_ADMIN_TOKEN: is not set in this terminal"),
        "{without}"
    );
}

#[test]
fn a_token_from_a_file_is_read_from_there_wherever_the_commands_are_pasted() {
    let (name, scratch) = ("it's a token", Scratch::new("banner"));
    scratch.write(name, TOKEN);
    let mut command = binary();
    command.current_dir(&*scratch);
    command.args(["--admin-token-file", name, "--cookie-name", "we'ird$"]);
    let mut screen = in_terminal(command);
    let lines = shown(&mut screen);
    assert!(!lines.concat().contains(TOKEN), "{lines:#?}");
    assert_eq!(paste(&lines, Some("")), ["true", "false"], "{lines:#?}");
}

#[test]
fn json_on_a_terminal_stays_json_and_a_pipe_shows_no_banner() {
    let mut command = binary();
    command.args(["--log-format", "json", "--admin-token", TOKEN]);
    let mut screen = in_terminal(command);
    screen.wait_for_line("neptun-auth is up");
    let (_, lines) = screen.stop();
    assert!(lines.last().unwrap().contains("neptun-auth is down"));
    for line in lines {
        assert!(line.starts_with('{'), "{line}");
    }
}
