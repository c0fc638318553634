//! What a person sees who starts the service in a terminal.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::readme;
use crate::support::service::binary;

const TOKEN: &str = "an-admin-token-for-the-terminal";

/// The service with a terminal for its stderr.
struct InTerminal {
    child: Child,
    screen: BufReader<File>,
}

impl InTerminal {
    fn start(mut command: Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let terminal = OpenOptions::new()
            .read(true)
            .write(true)
            .open(name)
            .unwrap();
        let child = command
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stderr(terminal)
            .spawn()
            .unwrap();
        let screen = BufReader::new(File::from(master));
        Self { child, screen }
    }

    /// What is shown up to and with the first line that contains `text`.
    fn until(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            self.screen.read_line(&mut line).unwrap();
            lines.push(line.trim_end().to_owned());
            if line.contains(text) {
                return lines;
            }
        }
    }
}

impl Drop for InTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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

fn shown(screen: &mut InTerminal) -> Vec<String> {
    let mut lines = screen.until(" public ");
    let last = "/api/auth/logout";
    lines.extend(screen.until(last));
    lines.extend(screen.until(last));
    lines
}

#[test]
fn the_commands_on_the_screen_issue_a_session_and_end_it_once() {
    let mut command = binary();
    command.env("NEPTUN_AUTH_ADMIN_TOKEN", TOKEN);
    let mut screen = InTerminal::start(command);
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
    let name = format!("it's a token {}", std::process::id());
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(directory.join(&name), TOKEN).unwrap();
    let mut command = binary();
    command.current_dir(directory);
    command.args(["--admin-token-file", &name, "--cookie-name", "we'ird$"]);
    let mut screen = InTerminal::start(command);
    let lines = shown(&mut screen);
    assert!(!lines.concat().contains(TOKEN), "{lines:#?}");
    assert_eq!(paste(&lines, Some("")), ["true", "false"], "{lines:#?}");
    std::fs::remove_file(directory.join(&name)).unwrap();
}

#[test]
fn json_on_a_terminal_stays_json_and_a_pipe_shows_no_banner() {
    let mut command = binary();
    command.args(["--log-format", "json", "--admin-token", TOKEN]);
    let mut screen = InTerminal::start(command);
    screen.until("neptun-auth is up");
    let pid = screen.child.id().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    for line in screen.until("neptun-auth is down") {
        assert!(line.starts_with('{'), "{line}");
    }
}
