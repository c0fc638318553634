//! Settings: flags, environment, files, faults, and the README's table of them.

use std::ffi::{OsStr, OsString};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;

use clap::CommandFactory as _;
use neptun_auth::config::Flags;
use serde_json::json;

use crate::support::service::{binary, refusal, refused, run_to_end};
use crate::support::{ADMIN_TOKEN, Scratch, Service, lines_with, parsed};

#[test]
fn each_bad_setting_is_one_line_that_names_it_and_the_exit_code_is_2() {
    let cases = [
        ("listen", "nowhere"),
        ("listen", "8080"),
        ("admin-listen", "127.0.0.1:99999"),
        ("admin-token", "too short"),
        ("admin-token-file", "/does/not/exist"),
        ("reader-token-file", "/does/not/exist"),
        ("store", "mysql://x"),
        ("store-timeout", "0s"),
        ("session-ttl", "36501d"),
        ("idle-timeout", "never"),
        ("sessions-since", "yesterday"),
        ("sessions-since", "2026-11-26"),
        ("sessions-since", "2999-01-01T00:00:00Z"),
        ("max-sessions", "0"),
        ("cookie-name", "a b"),
        ("cookie-path", "x"),
        ("cookie-domain", ".example.com"),
        ("cookie-same-site", "sometimes"),
        ("cookie-secure", "maybe"),
        ("sealed-password", "too short"),
        ("sealed-password-file", "/does/not/exist"),
        ("sealed-user", "user"),
        ("allowed-origins", "https://example.com/"),
        ("max-connections", "-1"),
        ("header-timeout", "1 fortnight"),
        ("request-timeout", "10"),
        ("keep-alive-timeout", "soon"),
        ("shutdown-timeout", ""),
        ("log", "=="),
        ("log", "inof"),
        ("log", ""),
        ("log", "=debug"),
        ("max-sessions", "-1"),
        ("session-ttl", "-1s"),
        ("log-format", "xml"),
    ];
    for (flag, value) in cases {
        let said = refusal(&[&format!("--{flag}={value}")]);
        let variable = format!("NEPTUN_AUTH_{}", flag.replace('-', "_").to_uppercase());
        let expected = format!("neptun-auth: --{flag} ({variable}): ");
        assert!(
            said.len() == 1 && said[0].starts_with(&expected),
            "{said:?}"
        );
        refused(binary().env(&variable, value));
    }
}

#[test]
fn all_faults_are_told_in_one_run() {
    let said = refusal(&[
        "--listen=x",
        "--store=y",
        "--session-ttl=z",
        "--log-format=w",
    ]);
    for (line, flag) in said
        .iter()
        .zip(["listen", "store", "session-ttl", "log-format"])
    {
        assert!(
            line.starts_with(&format!("neptun-auth: --{flag} ")),
            "{said:?}"
        );
    }
    assert_eq!(said.len(), 4);
}

#[test]
fn unsafe_pairs_refuse_to_start() {
    let pairs: [&[&str]; 5] = [
        &["--cookie-same-site=none", "--cookie-secure=false"],
        &["--cookie-name=__Host-sid", "--cookie-domain=example.com"],
        &["--cookie-name=__Host-sid", "--cookie-path=/app"],
        &["--cookie-name=__Secure-sid", "--cookie-secure=false"],
        &["--admin-listen=0.0.0.0:0"],
    ];
    for pair in pairs {
        assert_eq!(refusal(pair).len(), 1, "{pair:?}");
    }
}

#[test]
fn a_bad_secret_is_never_printed() {
    let said = refusal(&["--admin-token=hunter2"]);
    assert!(!said[0].contains("hunter2"), "{said:?}");
    let said = refusal(&["--store=redis://user:hunter2@"]);
    assert!(!said[0].contains("hunter2"), "{said:?}");
}

#[test]
fn a_port_in_use_is_one_line_and_a_failure() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refusal(&["--listen", &address, "--admin-listen=127.0.0.1:0"]);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with(&format!(
            "neptun-auth: --listen (NEPTUN_AUTH_LISTEN): cannot listen on {address}: "
        )) && said[0].ends_with("; stop the program that has it, or choose another port"),
        "{said:?}"
    );
    let said = refusal(&["--listen=127.0.0.1:0", "--admin-listen", &address]);
    assert!(said[0].contains("--admin-listen (NEPTUN_AUTH_ADMIN_LISTEN)"));
}

#[test]
fn an_address_of_another_machine_is_told_apart_from_a_port_in_use() {
    let said = refusal(&["--listen=192.0.2.1:8080", "--admin-listen=127.0.0.1:0"]);
    let advice = "; choose an address that this machine has, or 0.0.0.0 for all of them";
    assert!(said.len() == 1 && said[0].ends_with(advice), "{said:?}");
}

#[test]
fn a_file_that_holds_no_good_secret_is_one_line_that_says_what_to_do() {
    let scratch = Scratch::new("secrets");
    let empty = scratch.write("empty", "\n\n");
    let weak = scratch.write("weak", "hunter2\n");
    let binary = scratch.write("binary", b"\xff\xfe\x00");
    let (missing, folder) = (scratch.join("missing"), scratch.display().to_string());
    let missing = missing.to_str().unwrap();
    let cases = [
        (
            "admin-token-file",
            missing,
            "give the path of an existing file",
        ),
        ("admin-token-file", &folder, "give the path of a text file"),
        (
            "admin-token-file",
            &binary,
            "a secret is text on a line of its own",
        ),
        ("admin-token-file", &empty, "`openssl rand -hex 32` prints"),
        ("admin-token-file", &weak, "`openssl rand -hex 32` prints"),
        (
            "sealed-password-file",
            missing,
            "give the path of an existing file",
        ),
        ("sealed-password-file", &empty, "put them there, one a line"),
        (
            "sealed-password-file",
            &weak,
            "give the web app's NUXT_SESSION_PASSWORD",
        ),
    ];
    for (flag, path, advice) in cases {
        let said = refusal(&[&format!("--{flag}={path}")]);
        let begins = said[0].starts_with(&format!("neptun-auth: --{flag} "));
        assert!(
            said.len() == 1 && begins && said[0].ends_with(advice),
            "{said:?}"
        );
        assert!(!said[0].contains("hunter2"), "{said:?}");
    }
}

#[test]
fn help_is_grouped_by_theme_and_fits_the_terminal() {
    for columns in [80, 100] {
        let mut command = binary();
        let output = command
            .arg("--help")
            .env("COLUMNS", columns.to_string())
            .output();
        let help = String::from_utf8(output.unwrap().stdout).unwrap();
        for line in help.lines() {
            assert!(line.chars().count() <= columns, "{line}");
        }
        let themes = [
            "Listeners:",
            "Store:",
            "Sessions:",
            "Cookie:",
            "Browsers:",
            "Limits:",
            "Logs:",
        ];
        let places = themes.map(|theme| help.lines().position(|line| line == theme).unwrap());
        assert!(places.is_sorted(), "{help}");
    }
}

#[test]
fn a_flag_wins_over_the_environment_and_a_secret_comes_from_a_file() {
    // A byte order mark at its start and the end of its line are no part of it.
    let scratch = Scratch::new("token");
    let file = scratch.write("token", format!("\u{feff}{ADMIN_TOKEN}\r\n"));
    let mut command = binary();
    command
        .env("NEPTUN_AUTH_COOKIE_NAME", "by-variable")
        .env("NEPTUN_AUTH_COOKIE_PATH", "/by-variable")
        .env("NEPTUN_AUTH_ADMIN_TOKEN_FILE", file)
        .args(["--cookie-name", "by-flag"]);
    let issued = Service::spawn(command).issue_as(&json!({ "user": "42" }));
    let set = issued["setCookie"].as_str().unwrap();
    assert!(
        set.starts_with("by-flag=") && set.contains("Path=/by-variable"),
        "{set}"
    );
}

#[test]
fn the_healthcheck_says_by_its_exit_code_whether_the_service_is_ready() {
    let service = Service::start();
    let admin = service.admin.to_string();
    let ask = || {
        run_to_end(&["--admin-listen", &admin, "healthcheck"])
            .status
            .code()
    };
    assert_eq!(ask(), Some(0));
    service.stop();
    assert_eq!(ask(), Some(1));
}

#[test]
fn the_healthcheck_finds_a_listener_on_all_addresses_where_there_is_no_ipv6() {
    // On 127.0.0.1 alone, as one on [::] is in effect where nothing leads to [::1].
    let service = Service::start();
    for host in ["[::]", "localhost", "0.0.0.0"] {
        let admin = format!("{host}:{}", service.admin.port());
        let output = run_to_end(&["healthcheck", "--admin-listen", &admin]);
        assert_eq!(output.status.code(), Some(0), "{host}: {output:?}");
    }
    let admin = format!("[::]:{}", service.admin.port());
    service.stop();
    let output = run_to_end(&["healthcheck", "--admin-listen", &admin]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn help_lists_every_setting_with_its_variable() {
    let help = String::from_utf8(run_to_end(&["--help"]).stdout).unwrap();
    for flag in [
        "listen",
        "store",
        "session-ttl",
        "cookie-same-site",
        "shutdown-timeout",
    ] {
        let variable = format!("NEPTUN_AUTH_{}", flag.replace('-', "_").to_uppercase());
        assert!(
            help.contains(&format!("--{flag}")) && help.contains(&variable),
            "{flag}"
        );
    }
}

#[test]
fn a_value_that_begins_with_a_hyphen_is_judged_like_any_other() {
    let said = refusal(&[
        "--session-ttl",
        "-1s",
        "--max-sessions",
        "-1",
        "--listen",
        "x",
    ]);
    assert_eq!(said.len(), 3, "{said:?}");
}

#[test]
fn the_healthcheck_judges_no_other_setting() {
    let service = Service::start();
    let mut command = binary();
    command.env("NEPTUN_AUTH_SESSION_TTL", "nonsense");
    let admin = service.admin.to_string();
    let output = command
        .args(["healthcheck", "--admin-listen", &admin])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        run_to_end(&["--admin-listen", "nowhere", "healthcheck"])
            .status
            .code(),
        Some(1)
    );
}

#[test]
fn the_webs_apps_own_variable_is_named_when_its_password_is_weak() {
    let said = refused(binary().env("NUXT_SESSION_PASSWORD", "short"));
    assert!(said[0].contains("NUXT_SESSION_PASSWORD"), "{said:?}");
}

#[test]
fn a_secret_given_by_flag_wins_over_a_file_named_in_the_environment() {
    let mut command = binary();
    command.env("NEPTUN_AUTH_ADMIN_TOKEN_FILE", "/does/not/exist");
    command.args(["--admin-token", ADMIN_TOKEN]);
    let service = Service::spawn(command);
    assert_eq!(service.token_of("42").len(), 43);
}

/// Every setting: its flag, its variable, and how a fault names it.
fn settings() -> Vec<(String, OsString, String)> {
    let command = Flags::command();
    let with_variables = command.get_arguments().filter_map(|arg| {
        let (flag, variable) = (arg.get_long()?.to_owned(), arg.get_env()?.to_owned());
        let name = match variable.to_str()? {
            "NUXT_SESSION_PASSWORD" => "neptun-auth: NUXT_SESSION_PASSWORD: ".to_owned(),
            variable => format!("neptun-auth: --{flag} ({variable}): "),
        };
        Some((flag, variable, name))
    });
    with_variables.collect()
}

fn bytes(bytes: &[u8]) -> OsString {
    OsStr::from_bytes(bytes).to_owned()
}

#[test]
fn a_text_that_can_be_no_setting_is_one_line_whichever_setting_it_is_of() {
    let not_text = "is not UTF-8 text";
    let line_break = "ends with a line break, which is no part of it: take the CR or LF away";
    for (flag, variable, name) in settings() {
        for (value, problem) in [
            (&b"a-secret-\xff"[..], not_text),
            (b"a-secret\n", line_break),
            (b"a-secret\r", line_break),
            (b"1s\r\n", line_break),
        ] {
            if problem == line_break && flag == "nuxt-session-password" {
                continue;
            }
            let expected = [format!("{name}{problem}")];
            let by_flag = bytes(&[format!("--{flag}=").as_bytes(), value].concat());
            assert_eq!(refused(binary().arg(by_flag)), expected);
            let by_variable = bytes(value);
            assert_eq!(refused(binary().env(&variable, by_variable)), expected);
        }
    }
}

#[test]
fn the_web_apps_password_may_end_with_a_line_break() {
    let mut command = binary();
    command.env(
        "NUXT_SESSION_PASSWORD",
        "a-password-of-at-least-32-characters\n",
    );
    Service::spawn(command);
}

#[test]
fn what_would_upset_a_terminal_is_escaped_and_a_fault_stays_one_line() {
    for (flag, value) in [
        (
            "--cookie-name",
            "a\nb\u{1b}[31m\u{202e}\u{7f}\u{9b}\u{2028}",
        ),
        ("--log-format", "\rx"),
        ("--session-ttl", "1\n2"),
        ("--listen", "\u{1b}]0;x\u{7}:80"),
        ("--store", "redis://a\nb:x"),
        ("--admin-token-file", "/no\n/such/file"),
    ] {
        let said = refusal(&[flag, value]);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with(&format!("neptun-auth: {flag} ")));
        let is_odd = |c: char| c.is_control() || "\u{202e}\u{2028}".contains(c);
        assert!(!said[0].contains(is_odd), "{said:?}");
    }
    let said = refusal(&["--no-such\n-flag\u{1b}"]);
    assert!(
        said.len() == 1 && said[0].contains(r"--no-such\n-flag\u{1b}: "),
        "{said:?}"
    );
}

#[test]
fn a_misused_command_line_is_one_line_that_says_what_was_meant() {
    let cases: [(&[&str], &str); 10] = [
        (
            &["--lisen", "x"],
            "--lisen: no such flag; the nearest is --listen",
        ),
        (
            &["--admin-tokne=hunter2"],
            "--admin-tokne: no such flag; the nearest is --admin-token",
        ),
        (
            &["--ttl=1h"],
            "--ttl: no such flag; the nearest is --session-ttl",
        ),
        (
            &["--log_format=json"],
            "--log_format: no such flag; the nearest is --log-format",
        ),
        (
            &["--listen"],
            "--listen (NEPTUN_AUTH_LISTEN): a value is missing",
        ),
        (
            &["--log=info", "--log=warn"],
            "--log (NEPTUN_AUTH_LOG): given twice",
        ),
        (
            &["helthcheck"],
            "helthcheck: neither a flag nor a command; commands: healthcheck, sessions list, sessions end, sessions issue",
        ),
        (
            &["-p", "80"],
            "-p: neither a flag nor a command; commands: healthcheck, sessions list, sessions end, sessions issue",
        ),
        (
            &["healthcheck", "x"],
            "x: neither a flag nor a command; commands: healthcheck, sessions list, sessions end, sessions issue",
        ),
        (
            &["healthcheck", "--log=info"],
            "--log: give it before the command",
        ),
    ];
    for (args, said) in cases {
        assert_eq!(refusal(args), [format!("neptun-auth: {said}")]);
    }
}

#[test]
fn a_variable_that_is_no_setting_is_warned_of_unless_kubernetes_made_it() {
    let mut command = binary();
    for name in [
        "NEPTUN_AUTH_ALOWED_ORIGINS",
        "NEPTUN_AUTH_TTL",
        "NEPTUN_AUTH_LISTEN_PORT",
        "NEPTUN_AUTH_NUXT_SESSION_PASSWORD",
    ] {
        command.env(name, "x");
    }
    command.env(bytes(b"NEPTUN_AUTH_LOG\xff"), "x");
    for (name, value) in [
        ("NEPTUN_AUTH_SERVICE_HOST", "10.0.0.1"),
        ("NEPTUN_AUTH_SERVICE_PORT", "8080"),
        ("NEPTUN_AUTH_SERVICE_PORT_HTTP", "8080"),
        ("NEPTUN_AUTH_PORT", "tcp://10.0.0.1:8080"),
        ("NEPTUN_AUTH_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("NEPTUN_AUTH_PORT_8080_TCP_PROTO", "tcp"),
        ("NEPTUN_AUTH_PORT_8080_TCP_PORT", "8080"),
        ("NEPTUN_AUTH_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("NEPTUN_AUTH_ADMIN_SERVICE_HOST", "10.0.0.2"),
        ("NEPTUN_AUTH_ADMIN_SERVICE_PORT_HTTP", "8081"),
        ("NEPTUN_AUTH_ADMIN_PORT", "tcp://10.0.0.2:8081"),
        ("NEPTUN_AUTH_ADMIN_PORT_8081_TCP_ADDR", "10.0.0.2"),
        ("NEPTUN_AUTH_LOG", "info"),
        ("NEPTUN_AUTHOR", "x"),
    ] {
        command.env(name, value);
    }
    let (_, log) = Service::spawn(command).stop();
    let told = parsed(&lines_with(&log, &["no setting"]));
    let warnings = told.iter().map(|line| line["message"].as_str().unwrap());
    let warnings: Vec<&str> = warnings.collect();
    let expected = [
        ("NEPTUN_AUTH_ALOWED_ORIGINS", "NEPTUN_AUTH_ALLOWED_ORIGINS"),
        ("NEPTUN_AUTH_LISTEN_PORT", "NEPTUN_AUTH_LISTEN"),
        ("NEPTUN_AUTH_LOG\u{fffd}", "NEPTUN_AUTH_LOG"),
        (
            "NEPTUN_AUTH_NUXT_SESSION_PASSWORD",
            "NEPTUN_AUTH_SEALED_PASSWORD",
        ),
        ("NEPTUN_AUTH_TTL", "NEPTUN_AUTH_SESSION_TTL"),
    ];
    let expected =
        expected.map(|(name, nearest)| format!("{name} is no setting; the nearest is {nearest}"));
    assert_eq!(warnings, expected);
}

#[test]
fn a_token_that_is_given_by_value_and_by_file_in_the_same_way_is_a_fault() {
    let expected = "neptun-auth: --admin-token (NEPTUN_AUTH_ADMIN_TOKEN): given twice, by value \
                    and by file; give the file alone";
    let open = "--admin-listen=0.0.0.0:0";
    let by_flags = [
        "--admin-token",
        ADMIN_TOKEN,
        "--admin-token-file=/dev/null",
        open,
    ];
    assert_eq!(refusal(&by_flags), [expected]);
    let mut by_variables = binary();
    by_variables.env("NEPTUN_AUTH_ADMIN_TOKEN", ADMIN_TOKEN);
    by_variables.env("NEPTUN_AUTH_ADMIN_TOKEN_FILE", "/dev/null");
    assert_eq!(refused(&mut by_variables), [expected]);
}

#[test]
fn one_cause_is_one_line() {
    let file = "--admin-token-file=/does/not/exist";
    for open in ["--admin-listen=0.0.0.0:0", "--admin-listen=[::]:0"] {
        let said = refusal(&[open, file]);
        assert!(
            said.len() == 1 && said[0].contains("--admin-token-file "),
            "{said:?}"
        );
        let said = refusal(&[open, "--admin-token=short"]);
        assert!(
            said.len() == 1 && said[0].contains("--admin-token "),
            "{said:?}"
        );
    }
}

#[test]
fn a_store_timeout_above_its_cap_is_shown_as_capped() {
    for (args, shown) in [
        (&["--store-timeout=9s"][..], "store-timeout=8s(capped)"),
        (&["--request-timeout=1s"], "store-timeout=800ms(capped)"),
        (&["--store-timeout=8s"], "store-timeout=8s"),
    ] {
        let (_, log) = Service::with(args).stop();
        let up: serde_json::Value = serde_json::from_str(&log[0]).unwrap();
        let settings = up["settings"].as_str().unwrap().split(' ');
        let mut shown_as = settings.filter(|setting| setting.starts_with("store-timeout"));
        assert_eq!(shown_as.next(), Some(shown), "{up}");
        assert_eq!(shown_as.next(), None, "{up}");
    }
}

#[test]
fn a_request_may_take_as_long_as_anybody_wants() {
    for timeout in ["25d", "36500d"] {
        let service = Service::with(&["--request-timeout", timeout, "--header-timeout", timeout]);
        assert_eq!(service.status_of("/readyz"), 200);
    }
}

#[test]
fn a_path_for_a_store_is_told_how_files_are_written() {
    for path in ["/tmp/x", "./x", "../x/y"] {
        let expected =
            format!("neptun-auth: --store (NEPTUN_AUTH_STORE): for a file write file:{path}");
        assert_eq!(refusal(&["--store", path]), [expected]);
    }
    let said = refusal(&["--store=//user:hunter2@redis/0"]);
    assert!(!said[0].contains("hunter2"), "{said:?}");
}
