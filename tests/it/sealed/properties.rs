//! Properties that hold for any input.

use neptun_auth::session::User;
use neptun_auth::session::sealed::{Content, DEFAULT_SUBJECT_POINTER, Opener, as_h3_reads};
use proptest::prelude::*;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::mint::{Salts, base64url, seal, seal_with, sign};

const PASSWORD: &str = "neptun-vector-password-one-0123456789abcdef";
const NOW_MS: i64 = 1_795_500_000_000;
const SALTS: Salts<'static> = Salts {
    enc: "d00d",
    iv: [9; 16],
    mac: "f00d",
};

fn opener() -> Opener {
    Opener::new(&[SecretString::from(PASSWORD)]).expect("a strong password")
}

fn opens(seal: &str) -> bool {
    opener().open(seal, NOW_MS).is_ok()
}

/// What the good seal of a payload says.
fn content(payload: &str) -> Content {
    let opened = opener().open(&seal(PASSWORD, payload, None), NOW_MS);
    opened
        .expect("a good seal")
        .session(DEFAULT_SUBJECT_POINTER)
}

/// Everything the service does with a value, for its panics alone.
fn handle(seal: &str) {
    if let Ok(payload) = opener().open(seal, NOW_MS) {
        let _ = payload.session(DEFAULT_SUBJECT_POINTER);
    }
}

fn good_seal() -> String {
    let payload = r#"{"id":"i","createdAt":1,"data":{"user":{"id":5}}}"#;
    seal_with(PASSWORD, payload, "4102444800000", &SALTS)
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Quarters: serde_json may miss the last bit of other fractions, which nobody here reads.
        any::<i32>().prop_map(|quarters| Value::from(f64::from(quarters) / 4.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

#[test]
fn no_single_byte_of_a_seal_can_change_go_or_come() {
    let good = good_seal();
    assert!(opens(&good), "else this test proves nothing");
    for at in 0..=good.len() {
        let (before, after) = good.split_at(at);
        for new in ["*", "A", "0", "_", "=", " ", "\0", "é"] {
            assert!(
                !opens(&format!("{before}{new}{after}")),
                "{new:?} put in at {at}"
            );
            if let Some(rest) = after.get(1..)
                && !after.starts_with(new)
            {
                assert!(
                    !opens(&format!("{before}{new}{rest}")),
                    "{new:?} put at {at}"
                );
            }
        }
        if let Some(rest) = after.get(1..) {
            assert!(!opens(&format!("{before}{rest}")), "byte {at} taken out");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sealed_comes_out_again(payload in any_json(), lifetime in prop::option::of(0..i64::MAX / 2)) {
        let text = payload.to_string();
        prop_assume!(text.len() < 2_500);
        let sealed = seal(PASSWORD, &text, lifetime.map(|ms| NOW_MS + ms));
        let opened = opener().open(&sealed, NOW_MS);
        let opened = opened.expect("a good seal");
        prop_assert_eq!(opened.json(), Some(&*text));
    }

    #[test]
    fn any_session_is_found_with_its_user(id in "[a-f0-9-]{36}", created in -1_i64 << 53..1 << 53, user in "[!-~]([ -~]{0,254}[!-~])?") {
        let payload = json!({"id": id, "createdAt": created, "data": {"user": {"id": user}}});
        let Content::Session(session) = content(&payload.to_string()) else {
            panic!("no session: {payload}");
        };
        prop_assert_eq!((session.id, session.created_at_ms, session.user), (id, created, User::new(&user).ok()));
    }

    #[test]
    fn random_bytes_neither_open_nor_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let read = as_h3_reads(&bytes);
        prop_assert!(!opens(&read));
        prop_assert!(!opens(&String::from_utf8_lossy(&bytes)));
    }

    #[test]
    fn random_parts_neither_open_nor_panic(parts in prop::collection::vec("[A-Za-z0-9_=-]{0,30}|Fe26[.]2|\\PC{0,5}", 7..10)) {
        prop_assert!(!opens(&parts.join("*")));
        let prefixed = format!("Fe26.2*{}", parts.join("*"));
        prop_assert!(!opens(&prefixed));
    }

    #[test]
    fn whatever_a_password_holder_signs_never_panics(
        iv in prop_oneof![Just(base64url(&[1; 16])), "[A-Za-z0-9_-]{0,30}", any::<String>()],
        ciphertext in prop_oneof![prop::collection::vec(any::<u8>(), 0..100).prop_map(|b| base64url(&b)), any::<String>()],
        expiration in prop_oneof!["[0-9]{0,40}", any::<String>()],
    ) {
        handle(&sign(PASSWORD, &format!("Fe26.2**d00d*{iv}*{ciphertext}*{expiration}"), "f00d"));
    }

    #[test]
    fn whatever_a_password_holder_seals_never_panics(
        plaintext in prop_oneof![any::<String>(), "[\\[\\]{}\",:\\\\ud8c0-9e.+-]{0,60}", "\"(\\\\u[dD][89a-fA-F][0-9a-f]{1,3}|\\\\|é|x){0,9}\""],
    ) {
        handle(&seal_with(PASSWORD, &plaintext, "", &SALTS));
    }

    #[test]
    fn any_text_is_read_as_it_was_before_it_was_escaped(text in any::<String>(), escaped in any::<bool>()) {
        let id = if escaped {
            let units = text.encode_utf16().map(|unit| format!("\\u{unit:04X}"));
            format!("\"{}\"", units.collect::<String>())
        } else {
            Value::from(&*text).to_string()
        };
        let payload = format!(r#"{{"id":{id},"createdAt":1,"data":{{"user":1}}}}"#);
        match content(&payload) {
            Content::Session(session) => prop_assert_eq!(session.id, text),
            other => prop_assert!(text.is_empty() && other == Content::Malformed),
        }
    }

    #[test]
    fn a_value_without_quote_or_percent_is_read_as_it_is(text in "[!#$&-~]{0,80}") {
        prop_assert_eq!(as_h3_reads(text.as_bytes()), text.as_str());
    }
}
