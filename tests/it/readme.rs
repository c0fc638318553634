//! The READMEs: their snippets are run as they stand or are the files that other tests run, their
//! tables are held against the binary, their links lead somewhere.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory as _;
use neptun_auth::config::Flags;

use crate::support::Scratch;
use crate::support::service::{binary, listen_anywhere};
use crate::support::{Ask, Process, Service, run};

const TOKEN: &str = "only-for-trying-it-out";
const BEGIN: &str = "<!-- settings: kept equal to --help by tests/it/readme.rs -->\n";
const END: &str = "<!-- end of settings -->\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The first one.
fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// All of them, the first one first: the folder, from the root, and the text.
fn readmes() -> Vec<(PathBuf, String)> {
    let folders = fs::read_dir(root().join("tests")).unwrap();
    let folders = folders.map(|folder| Path::new("tests").join(folder.unwrap().file_name()));
    let of_tests: Vec<PathBuf> = folders
        .filter(|folder| root().join(folder).join("README.md").exists())
        .collect();
    assert!(of_tests.len() >= 3, "they were not found");
    let others = [PathBuf::new(), PathBuf::from("benches")];
    let folders = others.into_iter().chain(of_tests);
    let read = |folder: PathBuf| {
        let text = fs::read_to_string(root().join(&folder).join("README.md")).unwrap();
        (folder, text)
    };
    folders.map(read).collect()
}

/// What stands before a block that shows a file.
const FILE: &str = "<!-- file: ";

/// What stands before one that shows some of a file's lines, with this line between those that do
/// not follow each other.
const PARTS: &str = "<!-- parts of: ";
const LEFT_OUT: &str = "\n# …\n\n";

/// A fenced block: its language, its text, and the file that it shows, if it does.
struct Block {
    language: String,
    text: String,
    file: Option<String>,
    is_whole: bool,
}

impl Block {
    fn is_command(&self) -> bool {
        self.language == "sh" && self.file.is_none()
    }

    fn starts_a_service(&self) -> bool {
        self.is_command() && self.text.contains("cargo run ")
    }

    /// Which takes a machine of its own.
    fn is_for_root(&self) -> bool {
        self.is_command() && self.text.starts_with("# as root")
    }

    /// Which takes an engine that not every machine has; `tests/image/run` starts containers.
    fn starts_a_container(&self) -> bool {
        self.is_command() && self.text.starts_with("docker ")
    }
}

fn blocks_of(text: &str) -> Vec<Block> {
    let mut parts = text.split("\n```");
    let mut blocks = Vec::new();
    while let (Some(prose), Some(block)) = (parts.next(), parts.next()) {
        let (language, text) = block.split_once('\n').unwrap_or((block, ""));
        let above = prose.lines().last().unwrap_or_default();
        let whole = above.strip_prefix(FILE);
        let marked = whole.or_else(|| above.strip_prefix(PARTS));
        blocks.push(Block {
            language: language.to_owned(),
            text: format!("{text}\n"),
            file: marked.map(|rest| rest.trim_end_matches(" -->").to_owned()),
            is_whole: whole.is_some(),
        });
    }
    blocks
}

fn blocks() -> Vec<Block> {
    let texts = readmes().into_iter();
    texts.flat_map(|(_, text)| blocks_of(&text)).collect()
}

/// The block that contains `text`.
pub fn block_with(text: &str) -> String {
    let block = blocks().into_iter().find(|block| block.text.contains(text));
    block.unwrap().text
}

/// What stands between backticks, but for blocks.
fn inline_code(text: &str) -> Vec<&str> {
    let prose = text.split("\n```").step_by(2);
    prose
        .flat_map(|prose| prose.split('`').skip(1).step_by(2))
        .collect()
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
fn the_snippets_do_what_the_readmes_show() {
    let service = service();
    let blocks = blocks();
    // One shell for all, as for whoever pastes them one after the other.
    let mut script = String::new();
    let mut expected = Vec::new();
    for (place, block) in blocks.iter().enumerate() {
        let is_elsewhere =
            block.starts_a_service() || block.starts_a_container() || block.is_for_root();
        if !block.is_command() || is_elsewhere {
            continue;
        }
        writeln!(script, "{}\nprintf '\\n-- next --\\n'", block.text).unwrap();
        let output = blocks.get(place + 1);
        let output = output.filter(|block| block.language == "text");
        expected.push(output.map_or_else(String::new, |block| timeless(&block.text)));
    }
    let script = script
        .replace("localhost:8080", &service.public.to_string())
        .replace("localhost:8081", &service.admin.to_string())
        .replace("curl -i ", "curl -s -i ");
    let program = Path::new(env!("CARGO_BIN_EXE_neptun-auth"));
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", program.parent().unwrap().display());
    let mut shell = Command::new("bash");
    shell
        .args(["-ec", &script])
        .env("PATH", path)
        .env("NEPTUN_AUTH_ADMIN_LISTEN", service.admin.to_string())
        .env("NEPTUN_AUTH_ADMIN_TOKEN", TOKEN);
    let printed = run(&mut shell);
    let printed: Vec<String> = printed.split("-- next --").map(timeless).collect();
    assert_eq!(printed[..expected.len()], expected, "{script}");
    assert!(expected.len() >= 6, "the snippets were not found");
}

#[test]
fn the_commands_that_start_a_service_start_one() {
    let home = Scratch::new("readme");
    let mut count = 0;
    for block in blocks().iter().filter(|block| block.starts_a_service()) {
        // `exec`, so that the service is the process that the test ends.
        let command = block.text.replace("cargo run --release --", "\"$BINARY\"");
        let command = command.replace("cargo run --release", "\"$BINARY\"");
        let mut shell = Command::new("bash");
        shell.env_clear().env("HOME", &*home);
        shell.env("BINARY", env!("CARGO_BIN_EXE_neptun-auth"));
        shell.env("NEPTUN_AUTH_LISTEN", "127.0.0.1:0");
        shell.env("NEPTUN_AUTH_ADMIN_LISTEN", "127.0.0.1:0");
        shell.args(["-c", &format!("exec env {command}")]);
        let service = Service::started(shell);
        let issued = Ask::post("/admin/sessions")
            .header("authorization", format!("Bearer {TOKEN}"))
            .json(r#"{"user":"42"}"#)
            .send(service.admin);
        assert_eq!(issued.status, 201, "{command}");
        count += 1;
    }
    assert!(count >= 2, "they were not found");
}

#[test]
fn every_setting_that_is_named_exists() {
    let command = Flags::command();
    let mut known = HashSet::from(["--help".to_owned()]);
    let commands = command
        .get_subcommands()
        .flat_map(clap::Command::get_subcommands);
    let of_commands = commands.flat_map(clap::Command::get_arguments);
    for arg in command.get_arguments().chain(of_commands) {
        known.extend(arg.get_long().map(|flag| format!("--{flag}")));
        known.extend(arg.get_env().map(|name| name.to_str().unwrap().to_owned()));
    }
    let of_a_name = |c: char| c.is_ascii_uppercase() || c == '_';
    let mut count = 0;
    for (folder, text) in readmes() {
        let flags = inline_code(&text).into_iter();
        let flags = flags.filter(|code| code.starts_with("--"));
        let flags = flags.map(|code| code.split(' ').next().unwrap().to_owned());
        let variables = text.split(|c| !of_a_name(c));
        let variables = variables.filter(|word| word.starts_with("NEPTUN_AUTH_"));
        // By itself it is what all of them begin with.
        let variables = variables.filter(|word| *word != "NEPTUN_AUTH_");
        let of_benches = folder.ends_with("benches");
        for name in flags
            .filter(|_| !of_benches)
            .chain(variables.map(str::to_owned))
        {
            assert!(known.contains(&name), "{}: {name}", folder.display());
            count += 1;
        }
    }
    assert!(count >= 50, "they were not found");
}

#[test]
fn every_error_class_and_every_reason_of_the_metrics_is_listed() {
    let service = Service::start();
    let metrics = Ask::get("/metrics").send(service.admin).body;
    let labels = ["class=\"", "reason=\""].map(|label| metrics.split(label).skip(1));
    let labels = labels.into_iter().flatten();
    let classes: HashSet<&str> = labels
        .map(|label| label.split('"').next().unwrap())
        .collect();
    let readmes = readmes();
    let (_, text) = readmes
        .iter()
        .find(|(folder, _)| folder.ends_with("deploy"))
        .unwrap();
    let listed = inline_code(text);
    for class in &classes {
        assert!(listed.contains(class), "{class}");
    }
    assert!(classes.len() >= 20, "they were not found");
}

#[test]
fn every_metric_and_every_alert_is_listed() {
    let metrics = Ask::get("/metrics").send(Service::start().admin).body;
    let metrics = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# HELP "));
    let metrics = metrics.map(|line| line.split(' ').next().unwrap().to_owned());
    let rules = fs::read_to_string(root().join("tests/deploy/alerts.yaml")).unwrap();
    let alerts = rules.split("- alert: ").skip(1);
    let alerts = alerts.map(|rule| rule.lines().next().unwrap().to_owned());
    let text = fs::read_to_string(root().join("tests/deploy/README.md")).unwrap();
    let listed = inline_code(&text);
    let names: Vec<String> = metrics.chain(alerts).collect();
    for name in &names {
        assert!(listed.contains(&name.as_str()), "{name}");
    }
    assert!(names.len() >= 25, "they were not found");
}

#[test]
fn every_benchmark_is_listed_and_every_listed_one_exists() {
    let (_, readme) = readmes().swap_remove(1);
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let benches = manifest.split("[[bench]]\nname = \"").skip(1);
    let benches: HashSet<&str> = benches
        .map(|bench| bench.split('"').next().unwrap())
        .collect();
    let main = fs::read_to_string(root().join("benches/http/main.rs")).unwrap();
    let mut listed = HashSet::new();
    for code in inline_code(&readme) {
        let Some(rest) = code.strip_prefix("cargo bench --bench ") else {
            continue;
        };
        // A command may be broken over two lines.
        let (bench, flag) = rest.split_once(" -- ").unwrap_or((rest, ""));
        listed.insert(bench);
        let is_known = flag.is_empty() || main.contains(&format!("(\"{flag}\", "));
        assert!(is_known, "{code}");
    }
    assert_eq!(listed, benches);
}

#[test]
fn every_link_leads_somewhere() {
    let mut count = 0;
    for (folder, text) in readmes() {
        let prose: String = text.split("\n```").step_by(2).collect();
        for link in prose.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.starts_with("https://") {
                continue;
            }
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let here = root().join(&folder);
            let target = here.join(if path.is_empty() { "README.md" } else { path });
            assert!(target.exists(), "{}: {link}", folder.display());
            if !heading.is_empty() {
                let headings = headings(&fs::read_to_string(target).unwrap());
                assert!(
                    headings.iter().any(|known| known == heading),
                    "{}: {link}: {headings:#?}",
                    folder.display()
                );
            }
            count += 1;
        }
    }
    assert!(count >= 10, "they were not found");
}

/// The headings as GitHub names them in links.
fn headings(text: &str) -> Vec<String> {
    let lines = text.split("\n```").step_by(2).flat_map(str::lines);
    let headings = lines.filter(|line| line.starts_with('#'));
    let name = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
        title.chars().filter(kept).collect::<String>()
    };
    headings.map(|line| name(line).replace(' ', "-")).collect()
}

#[test]
fn every_other_snippet_is_the_file_that_a_test_runs() {
    let languages = ["sh", "text", "mermaid"];
    let shown: Vec<Block> = blocks();
    let unknown = shown
        .iter()
        .filter(|block| block.file.is_none() && !languages.contains(&&*block.language));
    let unknown: Vec<&str> = unknown.map(|block| &*block.text).collect();
    assert!(unknown.is_empty(), "no file is named for {unknown:#?}");

    let mut files = Vec::new();
    for block in shown {
        if let Some(file) = block.file {
            let text = fs::read_to_string(root().join(&file)).unwrap();
            if block.is_whole {
                assert_eq!(block.text, text, "{file} is not what is shown of it");
                files.push(file);
                continue;
            }
            for part in block.text.split(LEFT_OUT) {
                assert!(text.contains(part), "{file} does not hold {part}");
            }
        }
    }
    // And the other way round: what the tests run is shown.
    for directory in ["tests/proxies", "tests/clients", "tests/compose"] {
        for entry in fs::read_dir(root().join(directory)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let is_no_example = ["README", "package", "__"]
                .iter()
                .any(|start| name.starts_with(start));
            let file = format!("{directory}/{name}");
            assert!(
                is_no_example || files.contains(&file),
                "{file} is shown nowhere"
            );
        }
    }
}

#[test]
fn the_first_command_starts_a_service_that_prints_what_the_readme_shows() {
    let blocks = blocks();
    let first = blocks.iter().position(Block::is_command).unwrap();
    assert!(
        blocks[first].text.ends_with("cargo run --release\n"),
        "the first command starts the service"
    );
    let expected = timeless(&blocks[first + 1].text);
    let mut command = binary();
    command.env("NEPTUN_AUTH_ADMIN_TOKEN", TOKEN);
    command.args(["--log-format", "human"]);
    listen_anywhere(&mut command);
    let mut process = Process::start(command);
    for expected in expected.lines() {
        let printed = timeless(&process.wait_for_line(""));
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
        let path = root().join("README.md");
        fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        let hint = "write it anew with UPDATE_README=1 cargo test readme";
        assert_eq!(shown, table, "{hint}");
    }
}
