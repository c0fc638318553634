//! Edges the reference vectors leave out.

use neptun_auth::session::sealed::{
    DEFAULT_SUBJECT_POINTER, Opener, SealClaims, WeakPassword, as_h3_reads,
};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::mint::{Salts, base64url, seal, seal_with, sign};

const NEW: &str = "the-new-password-0123456789abcdef";
const OLD: &str = "the-old-password-0123456789abcdef";
const NOW_MS: i64 = 1_795_500_000_000;
const SALTS: Salts<'static> = Salts {
    enc: "enc",
    iv: [7; 16],
    mac: "mac",
};

fn opener(passwords: &[&str]) -> Result<Opener, WeakPassword> {
    let secrets = passwords
        .iter()
        .map(|&password| SecretString::from(password));
    Opener::new(&secrets.collect::<Vec<_>>())
}

fn open(seal: &str) -> Option<Value> {
    let payload = opener(&[NEW])
        .expect("a strong password")
        .open(seal, NOW_MS)?;
    Some(payload.value().clone())
}

fn session(payload: &Value) -> Option<SealClaims> {
    session_at(payload, DEFAULT_SUBJECT_POINTER)
}

fn session_at(payload: &Value, subject: &str) -> Option<SealClaims> {
    let sealed = seal(NEW, &payload.to_string(), None);
    let opened = opener(&[NEW])
        .expect("a strong password")
        .open(&sealed, NOW_MS);
    opened.expect("a good seal").session(subject)
}

fn payload_of_user(user: &Value) -> Value {
    json!({"id": "i", "createdAt": 1, "data": {"user": user}})
}

fn user_with_id(id: &Value) -> Option<String> {
    let payload = payload_of_user(&json!({"id": id}));
    session(&payload)
        .expect("a session, whoever its user is")
        .user
        .map(|user| user.as_str().to_owned())
}

#[test]
fn any_of_several_passwords_opens_and_no_other() {
    let both = opener(&[NEW, OLD]).expect("strong passwords");
    assert!(both.open(&seal(NEW, "1", None), NOW_MS).is_some());
    assert!(both.open(&seal(OLD, "1", None), NOW_MS).is_some());
    assert!(open(&seal(OLD, "1", None)).is_none());
}

#[test]
fn a_password_counts_in_utf16_units_and_there_must_be_one() {
    assert_eq!(opener(&[]).unwrap_err(), WeakPassword::None);
    assert_eq!(
        opener(&[NEW, "short"]).unwrap_err(),
        WeakPassword::TooShort(1)
    );
    assert!(opener(&[&"😀".repeat(16)]).is_ok());
    assert!(opener(&[&"😀".repeat(15)]).is_err());
    assert!(opener(&[&"é".repeat(31)]).is_err(), "62 bytes, 31 units");
}

#[test]
fn a_password_longer_than_a_hash_block_opens_too() {
    let long = "p".repeat(100);
    let opener = opener(&[&long]).expect("a strong password");
    assert!(opener.open(&seal(&long, "1", None), NOW_MS).is_some());
}

#[test]
fn nothing_secret_is_printed() {
    let opener = opener(&[NEW]).expect("a strong password");
    let payload = opener.open(&seal(NEW, r#""private""#, None), NOW_MS);
    assert_eq!(format!("{opener:?}"), "Opener { .. }");
    assert_eq!(format!("{payload:?}"), "Some(Payload(..))");
    let refusal = WeakPassword::TooShort(1).to_string();
    assert_eq!(refusal, "password 2 has fewer than 32 characters");
}

#[test]
fn a_seal_ends_a_minute_after_its_expiration_and_not_before() {
    assert!(open(&seal(NEW, "1", Some(NOW_MS - 60_000))).is_none());
    assert!(open(&seal(NEW, "1", Some(NOW_MS - 59_999))).is_some());
}

#[test]
fn an_expiration_is_digits_however_many() {
    let with = |expiration: &str| open(&seal_with(NEW, "1", expiration, &SALTS));
    assert!(with(&"9".repeat(500)).is_some());
    assert!(with(&format!("{}1", "0".repeat(500))).is_none());
    assert!(with(&format!("{}{NOW_MS}", "0".repeat(500))).is_some());
    assert!(with("+99999999999999").is_none());
}

#[test]
fn the_id_is_signed_but_picks_no_password() {
    let sealed = seal_with(NEW, "1", "", &SALTS);
    let six = sealed.rsplitn(3, '*').nth(2).expect("eight parts");
    let named = six.replacen("**", "*key2*", 1);
    assert!(open(&sign(NEW, &named, "mac")).is_some());
}

#[test]
fn an_empty_salt_is_refused_even_when_signed() {
    let no_enc = Salts { enc: "", ..SALTS };
    let no_mac = Salts { mac: "", ..SALTS };
    assert!(open(&seal_with(NEW, "1", "", &SALTS)).is_some());
    assert!(open(&seal_with(NEW, "1", "", &no_enc)).is_none());
    assert!(open(&seal_with(NEW, "1", "", &no_mac)).is_none());
}

#[test]
fn padded_or_standard_base64_is_refused_even_when_signed() {
    let iv = base64url(&[7; 16]);
    let with_iv = |iv: &str| {
        open(&sign(
            NEW,
            &format!("Fe26.2**enc*{iv}*{}*", base64url(&[0; 16])),
            "mac",
        ))
    };
    assert!(
        with_iv(&iv).is_none(),
        "no good plaintext, but no panic either"
    );
    assert!(with_iv(&format!("{iv}==")).is_none());
    assert!(with_iv("++++++++++++++++++++++").is_none());
}

#[test]
fn a_seal_that_no_head_can_hold_is_refused_unread() {
    let json_of = |length: usize| format!("\"{}\"", "x".repeat(length));
    let longest = (11_500..12_300)
        .map(|length| seal(NEW, &json_of(length), None))
        .take_while(|sealed| sealed.len() <= 16_384)
        .last()
        .expect("some fit");
    assert!(open(&longest).is_some());
    let with_id = longest.rsplitn(3, '*').nth(2).expect("eight parts");
    let padding = "i".repeat(16_385 - longest.len());
    let longer = with_id.replacen("**", &format!("*{padding}*"), 1);
    let mac_salt = longest.rsplit('*').nth(1).expect("eight parts");
    assert_eq!(sign(NEW, &longer, mac_salt).len(), 16_385);
    assert!(open(&sign(NEW, &longer, mac_salt)).is_none());
}

#[test]
fn half_a_surrogate_pair_opens_as_it_does_in_javascript() {
    let open_text = |json: &str| open(&seal(NEW, json, None));
    assert_eq!(open_text(r#""a\ud83d""#), Some(json!("a\u{fffd}")));
    assert_eq!(open_text(r#""\uDE00b""#), Some(json!("\u{fffd}b")));
    assert_eq!(
        open_text(r#""\ud83d\ud83d\ude00""#),
        Some(json!("\u{fffd}😀"))
    );
    assert_eq!(
        open_text(r#"["\\ud83d","\ud83d\n"]"#),
        Some(json!([r"\ud83d", "\u{fffd}\n"]))
    );
    assert_eq!(open_text(r#""\ud83""#), None);
    assert_eq!(open_text(r#""\ud83d"#), None);
    assert_eq!(open_text("\"\\ud83d\" trailing"), None);
    assert_eq!(open_text("\"\\ud83\u{e9}\""), None);
}

#[test]
fn a_session_needs_an_id_and_a_moment_and_a_truthy_user() {
    let good = json!({"id": "i", "createdAt": 1, "data": {"user": {}}});
    assert!(session(&good).is_some());
    for (pointer, wrong) in [
        ("/id", json!("")),
        ("/id", json!(5)),
        ("/createdAt", json!("1")),
        ("/createdAt", json!(null)),
        ("/data", json!([])),
        ("/data", json!("user")),
    ] {
        let mut payload = good.clone();
        *payload.pointer_mut(pointer).expect("the field is there") = wrong;
        assert_eq!(session(&payload), None, "{payload}");
    }
}

#[test]
fn a_user_is_truthy_as_in_javascript() {
    for falsy in [
        json!(null),
        json!(false),
        json!(0),
        json!(-0.0),
        json!(0.0),
        json!(""),
    ] {
        assert_eq!(session(&payload_of_user(&falsy)), None, "{falsy}");
    }
    for truthy in [
        json!(true),
        json!(-1),
        json!(0.5),
        json!("0"),
        json!([]),
        json!({}),
    ] {
        assert!(session(&payload_of_user(&truthy)).is_some(), "{truthy}");
    }
}

#[test]
fn created_at_may_be_any_number() {
    for (number, expected) in [
        (json!(1_767_323_045_678_i64), 1_767_323_045_678),
        (json!(1_767_323_045_678.9), 1_767_323_045_678),
        (json!(-1), -1),
        (json!(u64::MAX), i64::MAX),
        (json!(1e300), i64::MAX),
        (json!(-1e300), i64::MIN),
    ] {
        let payload = json!({"id": "i", "createdAt": number, "data": {"user": 1}});
        let found = session(&payload).expect("a session");
        assert_eq!(found.created_at_ms, expected, "{payload}");
    }
}

#[test]
fn the_user_is_a_string_or_an_integer_fit_for_a_header() {
    assert_eq!(user_with_id(&json!(42)).as_deref(), Some("42"));
    assert_eq!(user_with_id(&json!(-1)).as_deref(), Some("-1"));
    assert_eq!(
        user_with_id(&json!(u64::MAX)).as_deref(),
        Some("18446744073709551615")
    );
    assert_eq!(user_with_id(&json!("a b")).as_deref(), Some("a b"));
    let longest = "x".repeat(256);
    assert_eq!(user_with_id(&json!(longest)), Some(longest));
    for unfit in [
        json!(null),
        json!(true),
        json!(1.5),
        json!([]),
        json!({}),
        json!(""),
        json!(" a"),
        json!("a "),
        json!("a\nb"),
        json!("\u{7f}"),
        json!("ü"),
        json!("x".repeat(257)),
    ] {
        assert_eq!(user_with_id(&unfit), None, "{unfit}");
    }
}

#[test]
fn the_user_is_found_where_the_pointer_says() {
    let payload = json!({"id": "i", "createdAt": 1, "data": {"user": {"a/b": ["x", "y"]}}});
    let user_at = |pointer| {
        session_at(&payload, pointer)
            .expect("a session")
            .user
            .map(|user| user.to_string())
    };
    assert_eq!(user_at("/data/user/a~1b/1").as_deref(), Some("y"));
    assert_eq!(user_at("/id").as_deref(), Some("i"));
    for nowhere in ["", "id", "/nothing", "/data/user/a~1b/2"] {
        assert_eq!(user_at(nowhere), None, "{nowhere}");
    }
}

#[test]
fn a_cookie_is_read_as_h3_reads_it() {
    for (raw, read) in [
        (&b"plain"[..], "plain"),
        (b"", ""),
        (b"\"", ""),
        (b"\"\"", ""),
        (b"\"quoted\"", "quoted"),
        (b"\"\"twice\"\"", "\"twice\""),
        (b"\"unclosed", "unclose"),
        (b"unopened\"", "unopened\""),
        (b"a%2Ab%2ac", "a*b*c"),
        (b"\"a%2Ab\"", "a*b"),
        (b"%22a%22", "\"a\""),
        (b"%252A", "%2A"),
        (b"%C3%A9", "é"),
        (b"a%2Ab%", "a%2Ab%"),
        (b"a%2Ab%2", "a%2Ab%2"),
        (b"a%2Ab%+2", "a%2Ab%+2"),
        (b"a%2Ab%FF", "a%2Ab%FF"),
        (b"%C0%AF", "%C0%AF"),
        (b"%ED%A0%80", "%ED%A0%80"),
        (b"\xC3\xA9", "\u{c3}\u{a9}"),
        (b"%C3\xA9", "%C3\u{a9}"),
        (b"\xE9%2A", "\u{e9}*"),
    ] {
        assert_eq!(as_h3_reads(raw), read, "{}", raw.escape_ascii());
    }
}
