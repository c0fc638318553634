//! Payloads as JavaScript reads them: whatever `JSON.parse` makes of a text, h3's session is made of
//! that, so the reader here has to agree with Node's own.

use std::io::Write as _;
use std::process::{Command, Stdio};

use neptun_auth::session::sealed::{Content, DEFAULT_SUBJECT_POINTER, Opener};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use secrecy::SecretString;
use serde_json::Value;

use super::{PASSWORD, seal_of};
use crate::support::tool;

const TEXTS: usize = 20_000;

/// Texts that are JSON with h3's names in it, and texts that are so but for a piece or two.
fn texts() -> impl Strategy<Value = String> {
    let scalars: &[&str] = &[
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-0.0",
        "1",
        "1.5",
        "-1",
        "1e3",
        "1E+2",
        "1e-400",
        "1e400",
        "-1e400",
        "9007199254740993",
        "12345678901234567890123",
        r#""""#,
        r#""i""#,
        r#""é""#,
        r#""\u00e9\n""#,
        r#""\ud83d""#,
        r#""\ude00\ud83d""#,
        r#""\ud83d\ude00""#,
        r#""a b""#,
        r#"" a""#,
        r#""\"\\\/\b\f\n\r\t""#,
        r#""\\ud83d""#,
        "\"\u{7f}\u{2028}\"",
    ];
    let names: &[&str] = &[
        "id",
        "createdAt",
        "data",
        "user",
        "data",
        "user",
        "id",
        r"\u0069d",
        r"d\u0061ta",
        "x",
        "",
        "__proto__",
        "constructor",
        r"$serde_json::private::RawValue",
        r"$serde_json::private::Number",
        r"\ud83d",
    ];
    let scalar = prop::sample::select(scalars).prop_map(str::to_owned);
    let space = prop::sample::select(&["", "", "", "", " ", "\t", "\r\n"][..]);
    let value = scalar.prop_recursive(5, 40, 4, move |inner| {
        let name = prop::sample::select(names);
        let member = (space.clone(), name, space.clone(), inner.clone())
            .prop_map(|(a, name, b, value)| format!("{a}\"{name}\"{b}:{b}{value}{a}"));
        prop_oneof![
            3 => prop::collection::vec(member, 0..4).prop_map(|all| format!("{{{}}}", all.join(","))),
            1 => prop::collection::vec(inner, 0..4).prop_map(|all| format!("[{}]", all.join(" ,"))),
        ]
    });
    let session = (value.clone(), value.clone(), value.clone(), value.clone()).prop_map(
        |(id, created_at, user, more)| {
            format!(r#"{{"id":{id},"createdAt":{created_at},"data":{{"user":{user},"x":{more}}}}}"#)
        },
    );
    let login = (value.clone(), value.clone()).prop_map(|(id, more)| {
        format!(r#"{{"id":"i","data":{{"y":{more},"user":{{"id":{id}}}}},"createdAt":17}}"#)
    });
    let good = prop_oneof![value, session, login];
    let pieces: &[&str] = &[
        "", "{", "}", "[", "]", ",", ":", "\"", "\\", "0", "1", ".", "e", "-", "+", "u", "t",
        "\u{a0}", "\u{feff}", "\u{b}", "\u{0}", "'", "//", "\n", "é",
    ];
    let change = (
        any::<prop::sample::Index>(),
        prop::sample::select(pieces),
        0..2_usize,
    );
    (good, prop::collection::vec(change, 0..3)).prop_map(|(mut text, changes)| {
        for (at, piece, taken) in changes {
            let mut chars: Vec<char> = text.chars().collect();
            let at = at.index(chars.len() + 1);
            let end = (at + taken).min(chars.len());
            chars.splice(at..end, piece.chars());
            text = chars.into_iter().collect();
        }
        text
    })
}

/// What Node makes of each text: how h3 would take it for a session.
fn by_node(texts: &[String]) -> Vec<Value> {
    let mut node = Command::new(tool("node"))
        .args(["-e", include_str!("javascript.cjs")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = node.stdin.take().unwrap();
    stdin
        .write_all(&serde_json::to_vec(texts).unwrap())
        .unwrap();
    drop(stdin);
    let output = node.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The same as this service reads it.
fn content(opener: &Opener, text: &str) -> Value {
    let payload = opener.open(&seal_of(text), 0).unwrap();
    let is_json = payload.json().is_some();
    match payload.session(DEFAULT_SUBJECT_POINTER) {
        Content::Malformed if !is_json => "no JSON".into(),
        Content::Malformed => "malformed".into(),
        Content::Anonymous => "anonymous".into(),
        Content::Session(claims) => serde_json::json!({
            "id": claims.id,
            "createdAt": claims.created_at_ms.to_string(),
            "user": claims.user.map(|user| user.to_string()),
        }),
    }
}

#[test]
fn every_text_is_to_us_what_it_is_to_node() {
    let opener = Opener::new(&[SecretString::from(PASSWORD)]).unwrap();
    let mut runner = TestRunner::deterministic();
    let generated = texts();
    let mut next = || generated.new_tree(&mut runner).unwrap().current();
    let texts: Vec<String> = (0..TEXTS).map(|_| next()).collect();
    let mut seen = [0; 4];
    for (text, expected) in texts.iter().zip(by_node(&texts)) {
        let mut found = content(&opener, text);
        if expected["user"] == "a number" {
            found["user"] = "a number".into();
        }
        assert_eq!(found, expected, "{text}");
        let kinds = ["no JSON", "malformed", "anonymous"];
        seen[kinds.iter().position(|kind| expected == *kind).unwrap_or(3)] += 1;
    }
    println!("no JSON, malformed, anonymous, sessions: {seen:?}");
    assert!(seen.iter().all(|count| *count > TEXTS / 50), "{seen:?}");
}
