//! Seals made by h3, @hapi/iron and iron-webcrypto, and what those make of them.

use neptun_auth::session::User;
use neptun_auth::session::sealed::{
    Content, DEFAULT_SUBJECT_POINTER, Opener, SealClaims, as_h3_reads,
};
use secrecy::SecretString;
use serde_json::Value;

use super::mint::{Salts, derive, hex, seal_with};

/// 2026-11-24, between the vectors' past (2020) and future (2100) expirations.
const NOW_MS: i64 = 1_795_500_000_000;

fn vectors() -> Vec<Value> {
    serde_json::from_str(include_str!("iron-vectors.json")).expect("the vectors are JSON")
}

fn vector(name: &str) -> Value {
    let found = vectors().into_iter().find(|vector| vector["name"] == name);
    found.expect("there is a vector of that name")
}

fn text<'a>(vector: &'a Value, field: &str) -> &'a str {
    vector[field].as_str().expect("the field is a string")
}

/// The password's length is part of the verdict: iron checks it with every seal.
fn open(vector: &Value, seal: &str) -> Option<Value> {
    let opener = Opener::new(&[SecretString::from(text(vector, "password"))]).ok()?;
    let payload = opener.open(seal, NOW_MS).ok()?;
    Some(serde_json::from_str(payload.json()?).expect("JSON"))
}

fn session(vector: &Value) -> Option<SealClaims> {
    let opener = Opener::new(&[SecretString::from(text(vector, "password"))]).ok()?;
    let payload = opener.open(text(vector, "sealed"), NOW_MS).ok()?;
    match payload.session(DEFAULT_SUBJECT_POINTER) {
        Content::Session(claims) => Some(claims),
        Content::Anonymous | Content::Malformed => None,
    }
}

#[test]
fn every_vector_opens_or_not_as_the_reference_says() {
    let mut seen = 0;
    for vector in vectors() {
        let expected = match text(&vector, "expect") {
            "ok" => Some(vector["payload"].clone()),
            "reject" => None,
            other => panic!("unknown verdict {other}"),
        };
        let name = text(&vector, "name");
        assert_eq!(open(&vector, text(&vector, "sealed")), expected, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 54);
}

#[test]
fn only_the_vectors_called_active_are_sessions() {
    for vector in vectors() {
        let name = text(&vector, "name");
        let Some(found) = session(&vector) else {
            assert_ne!(vector["session_class"], "active", "{name}");
            continue;
        };
        let payload = &vector["payload"];
        let expected = SealClaims {
            id: text(payload, "id").to_owned(),
            created_at_ms: payload["createdAt"].as_i64().expect("an integer"),
            user: User::new(&payload["data"]["user"]["id"].to_string()).ok(),
        };
        assert_eq!(vector["session_class"], "active", "{name}");
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn percent_encoded_stars_open_once_they_are_read_as_h3_reads_cookies() {
    let vector = vector("percent-encoded-stars");
    let raw = text(&vector, "sealed");
    let quoted = format!("\"{raw}\"");
    assert!(open(&vector, raw).is_none());
    assert!(open(&vector, &as_h3_reads(raw.as_bytes())).is_some());
    assert!(open(&vector, &as_h3_reads(quoted.as_bytes())).is_some());
}

#[test]
fn the_test_sealer_writes_what_the_reference_writes() {
    let vector = vector("deterministic-debug");
    let debug = &vector["debug"];
    let password = text(&vector, "password");
    let salts = Salts {
        enc: &"1".repeat(64),
        iv: [0x33; 16],
        mac: &"2".repeat(64),
    };
    assert_eq!(hex(&derive(password, salts.enc)), debug["enc_key_hex"]);
    assert_eq!(hex(&derive(password, salts.mac)), debug["mac_key_hex"]);
    let sealed = seal_with(password, text(debug, "plaintext_utf8"), "", &salts);
    assert_eq!(sealed, vector["sealed"]);
}
