//! The README: its snippets are run as they stand or are the files that other tests run, its
//! tables are held against the binary.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use clap::CommandFactory as _;
use neptun_auth::config::Flags;

use crate::support::service::binary;
use crate::support::{Ask, Service};

const TOKEN: &str = "only-for-trying-it-out";
const BEGIN: &str = "<!-- settings: kept equal to --help by tests/it/readme.rs -->\n";
const END: &str = "<!-- end of settings -->\n";

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    std::fs::read_to_string(path).unwrap()
}

/// What stands before a block that shows a file.
const FILE: &str = "<!-- file: ";

/// A fenced block: its language, its text, and the file that it shows, if it does.
struct Block {
    language: String,
    text: String,
    file: Option<String>,
}

fn blocks() -> Vec<Block> {
    let readme = readme();
    let mut parts = readme.split("\n```");
    let mut blocks = Vec::new();
    while let (Some(prose), Some(block)) = (parts.next(), parts.next()) {
        let (language, text) = block.split_once('\n').unwrap_or((block, ""));
        let marked = prose
            .lines()
            .last()
            .and_then(|line| line.strip_prefix(FILE));
        blocks.push(Block {
            language: language.to_owned(),
            text: format!("{text}\n"),
            file: marked.map(|rest| rest.trim_end_matches(" -->").to_owned()),
        });
    }
    blocks
}

/// The block that contains `text`.
pub fn block_with(text: &str) -> String {
    let block = blocks().into_iter().find(|block| block.text.contains(text));
    block.unwrap().text
}

/// A service as the README's first command starts it, but for the ports.
fn service() -> Service {
    let mut command = binary();
    command.env("NEPTUN_AUTH_ADMIN_TOKEN", TOKEN);
    // For the routes that exist only with it; the rest is the same.
    command.env(
        "NUXT_SESSION_PASSWORD",
        "a-password-of-at-least-32-characters",
    );
    Service::spawn(command)
}

fn starts_a_server(snippet: &str) -> bool {
    snippet.starts_with("docker ") || snippet.contains("cargo run ")
}

/// The text with all that differs from run to run made the same: tokens, ids, times.
fn timeless(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_-:.".contains(c);
    let mut result = String::new();
    let mut word = String::new();
    for c in text.chars().chain(['\n']) {
        if is_word(c) {
            word.push(c);
            continue;
        }
        let is_hex = word.chars().all(|c| c.is_ascii_hexdigit());
        let is_time =
            (20..=24).contains(&word.len()) && word.as_bytes()[10] == b'T' && word.ends_with('Z');
        match word.len() {
            64 | 32 if is_hex => result.push_str("<id>"),
            43 => result.push_str("<token>"),
            _ if is_time => result.push_str("<time>"),
            _ => result.push_str(&word),
        }
        word.clear();
        result.push(c);
    }
    let lines = result.lines().filter(|line| !line.starts_with("date: "));
    lines
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
        .trim()
        .to_owned()
}

#[test]
fn the_snippets_do_what_the_readme_shows() {
    let service = service();
    let blocks = blocks();
    assert!(
        blocks[0].text.ends_with("cargo run --release\n"),
        "the first command starts the service"
    );
    // One shell for all, as for whoever pastes them one after the other. What starts a server
    // or needs a container engine is tested elsewhere.
    let mut script = String::new();
    let mut expected = Vec::new();
    for pair in blocks[2..].windows(2) {
        let [command, output] = pair else {
            unreachable!()
        };
        let is_run_here = command.language == "sh" && command.file.is_none();
        if !is_run_here || starts_a_server(&command.text) {
            continue;
        }
        writeln!(script, "{}\nprintf '\\n-- next --\\n'", command.text).unwrap();
        let shown = if output.language == "text" {
            &output.text
        } else {
            ""
        };
        expected.push(timeless(shown));
    }
    let script = script
        .replace("localhost:8080", &service.public.to_string())
        .replace("localhost:8081", &service.admin.to_string())
        .replace("curl -i ", "curl -s -i ");
    let output = Command::new("bash")
        .args(["-ec", &script])
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let printed: Vec<String> = printed.split("-- next --").map(timeless).collect();
    assert_eq!(printed[..expected.len()], expected, "{script}");
    assert!(expected.len() >= 6, "the snippets were not found");
}

#[test]
fn every_other_snippet_is_the_file_that_a_test_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shown: Vec<Block> = blocks();
    let unknown =
        |block: &&Block| block.file.is_none() && !["sh", "text"].contains(&&*block.language);
    let unknown: Vec<&str> = shown
        .iter()
        .filter(unknown)
        .map(|block| &*block.text)
        .collect();
    assert!(unknown.is_empty(), "no file is named for {unknown:#?}");

    let mut files = Vec::new();
    for block in shown {
        if let Some(file) = block.file {
            let text = std::fs::read_to_string(root.join(&file)).unwrap();
            assert_eq!(block.text, text, "{file} is not what the README shows");
            files.push(file);
        }
    }
    // And the other way round: what the tests run is shown.
    let of_tests = |directory: &str| -> Vec<String> {
        let entries = std::fs::read_dir(root.join(directory)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.map(|name| format!("{directory}/{name}")).collect()
    };
    for file in [of_tests("tests/proxies"), of_tests("tests/clients")].concat() {
        let is_known = files.contains(&file) || file.contains("/package") || file.contains("/__");
        assert!(is_known, "the README does not show {file}");
    }
}

#[test]
fn the_start_prints_what_the_readme_shows() {
    let mut command = binary();
    command.env("NEPTUN_AUTH_ADMIN_TOKEN", TOKEN);
    command.args([
        "--log-format",
        "human",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    let mut child = command
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    for expected in timeless(&blocks()[1].text).lines() {
        let printed = timeless(&lines.next().unwrap().unwrap());
        // Ports and the settings that only this test gives differ; the words do not.
        let words = |line: &str| -> Vec<String> {
            let settings = |word: &&str| !word.contains("listen") && !word.contains("settings=");
            line.split(' ')
                .filter(settings)
                .map(str::to_owned)
                .collect()
        };
        let printed_words = words(&printed);
        assert!(
            words(expected)
                .iter()
                .all(|word| printed_words.contains(word)),
            "{printed}"
        );
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn every_route_of_the_tables_is_there() {
    let service = service();
    let readme = readme();
    let methods = ["GET", "POST", "DELETE"];
    let mut found = 0;
    for line in readme.lines().filter(|line| line.starts_with("| `")) {
        let call = line.trim_start_matches("| `").split('`').next().unwrap();
        let Some((method, route)) = call.split_once(' ').filter(|(m, _)| methods.contains(m))
        else {
            continue;
        };
        let address = if route.starts_with("/api/") {
            service.public
        } else {
            service.admin
        };
        let route = route.replace("{user}", "42").replace("{id}", "x");
        let answer = Ask::new(method, &route).send(address);
        assert!(![404, 405].contains(&answer.status), "{call}: {answer:?}");
        found += 1;
    }
    assert!(found >= 8, "the tables were not found");
}

#[test]
fn the_settings_table_says_what_help_says() {
    let mut table = String::from("| flag | default | |\n|---|---|---|\n");
    let command = Flags::command();
    for arg in command
        .get_arguments()
        .filter(|arg| arg.get_env().is_some() && !arg.is_hide_set())
    {
        let flag = arg.get_long().unwrap();
        let variable = format!("NEPTUN_AUTH_{}", flag.replace('-', "_").to_uppercase());
        assert_eq!(arg.get_env().unwrap(), variable.as_str());
        let defaults = arg
            .get_default_values()
            .iter()
            .map(|value| value.to_str().unwrap());
        let default = defaults.map(|value| format!("`{value}`")).next();
        let default = default.unwrap_or_else(|| "none".to_owned());
        let help = arg.get_help().unwrap().to_string().replace('|', "\\|");
        writeln!(table, "| `--{flag}` | {default} | {help} |").unwrap();
    }
    let readme = readme();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_README").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
        std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        let hint = "write it anew with UPDATE_README=1 cargo test readme";
        assert_eq!(shown, table, "{hint}");
    }
}
