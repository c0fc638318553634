//! Edges the reference vectors leave out.

use neptun_auth::session::User;
use neptun_auth::session::sealed::{
    Content, DEFAULT_SUBJECT_POINTER, Opener, Payload, SealClaims, SealError, WeakPassword,
    as_h3_reads,
};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::mint::{Salts, base64url, seal, seal_bytes, seal_with, sign};

const PASSWORD: &str = "a-strong-password-0123456789abcdef";
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

fn open(seal: &str) -> Result<Payload, SealError> {
    let opener = opener(&[PASSWORD]).expect("a strong password");
    opener.open(seal, NOW_MS)
}

/// What the payload of a good seal says, its user where `subject` points.
fn content_at(payload: &str, subject: &str) -> Content {
    let opened = open(&seal(PASSWORD, payload, None));
    opened.expect("a good seal").session(subject)
}

fn content(payload: &str) -> Content {
    content_at(payload, DEFAULT_SUBJECT_POINTER)
}

fn session_at(payload: &Value, subject: &str) -> SealClaims {
    match content_at(&payload.to_string(), subject) {
        Content::Session(claims) => claims,
        other => panic!("{other:?}: {payload}"),
    }
}

fn session(payload: &Value) -> SealClaims {
    session_at(payload, DEFAULT_SUBJECT_POINTER)
}

fn payload_of_user(user: &Value) -> Value {
    json!({"id": "i", "createdAt": 1, "data": {"user": user}})
}

fn user_with_id(id: &Value) -> Option<String> {
    let payload = payload_of_user(&json!({"id": id}));
    session(&payload).user.map(|user| user.to_string())
}

#[test]
fn a_password_counts_in_utf16_units_and_there_must_be_one() {
    assert_eq!(opener(&[]).unwrap_err(), WeakPassword::None);
    assert_eq!(
        opener(&[PASSWORD, "short"]).unwrap_err(),
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
    assert!(opener.open(&seal(&long, "1", None), NOW_MS).is_ok());
}

#[test]
fn nothing_secret_is_printed() {
    let opener = opener(&[PASSWORD]).expect("a strong password");
    let payload = opener.open(&seal(PASSWORD, r#""private""#, None), NOW_MS);
    assert_eq!(format!("{opener:?}"), "Opener { .. }");
    assert_eq!(format!("{payload:?}"), "Ok(Payload(..))");
    let refusal = WeakPassword::TooShort(1).to_string();
    assert_eq!(refusal, "password 2 has fewer than 32 characters");
}

#[test]
fn a_seal_ends_a_minute_after_its_expiration_and_not_before() {
    let over = open(&seal(PASSWORD, "1", Some(NOW_MS - 60_000)));
    assert_eq!(over, Err(SealError::Expired));
    assert!(open(&seal(PASSWORD, "1", Some(NOW_MS - 59_999))).is_ok());
}

#[test]
fn an_expiration_is_digits_however_many() {
    let with = |expiration: &str| open(&seal_with(PASSWORD, "1", expiration, &SALTS));
    assert!(with(&"9".repeat(500)).is_ok());
    assert!(with(&format!("{}1", "0".repeat(500))).is_err());
    assert!(with(&format!("{}{NOW_MS}", "0".repeat(500))).is_ok());
    assert!(with("+99999999999999").is_err());
}

#[test]
fn the_id_is_signed_but_picks_no_password() {
    let sealed = seal_with(PASSWORD, "1", "", &SALTS);
    let six = sealed.rsplitn(3, '*').nth(2).expect("eight parts");
    let named = six.replacen("**", "*key2*", 1);
    assert!(open(&sign(PASSWORD, &named, "mac")).is_ok());
}

#[test]
fn an_empty_salt_never_matches_and_never_decrypts() {
    let no_enc = Salts { enc: "", ..SALTS };
    let no_mac = Salts { mac: "", ..SALTS };
    let payload = |salts| {
        Some(
            open(&seal_with(PASSWORD, "1", "", salts))
                .ok()?
                .json()?
                .to_owned(),
        )
    };
    assert_eq!(payload(&SALTS).as_deref(), Some("1"));
    assert_eq!(payload(&no_enc), None);
    assert!(open(&seal_with(PASSWORD, "1", "", &no_enc)).is_ok());
    assert!(open(&seal_with(PASSWORD, "1", "", &no_mac)).is_err());
}

#[test]
fn what_is_signed_but_cannot_be_decrypted_opens_as_malformed() {
    let (iv, block) = (base64url(&[7; 16]), base64url(&[0; 16]));
    for (iv, ciphertext) in [
        (&*iv, &*block),
        (&format!("{iv}=="), &block),
        ("++++++++++++++++++++++", &block),
        ("", &block),
        (&iv, ""),
        (&iv, &base64url(&[0; 15])),
    ] {
        let six = format!("Fe26.2**enc*{iv}*{ciphertext}*");
        let opened = open(&sign(PASSWORD, &six, "mac"));
        let content = opened.map(|payload| payload.session(DEFAULT_SUBJECT_POINTER));
        assert_eq!(content, Ok(Content::Malformed), "{six}");
    }
}

#[test]
fn a_seal_that_no_head_can_hold_is_refused_unread() {
    let json_of = |length: usize| format!("\"{}\"", "x".repeat(length));
    let longest = (11_500..12_300)
        .map(|length| seal(PASSWORD, &json_of(length), None))
        .take_while(|sealed| sealed.len() <= 16_384)
        .last()
        .expect("some fit");
    assert!(open(&longest).is_ok());
    let with_id = longest.rsplitn(3, '*').nth(2).expect("eight parts");
    let padding = "i".repeat(16_385 - longest.len());
    let longer = with_id.replacen("**", &format!("*{padding}*"), 1);
    let mac_salt = longest.rsplit('*').nth(1).expect("eight parts");
    assert_eq!(sign(PASSWORD, &longer, mac_salt).len(), 16_385);
    assert!(open(&sign(PASSWORD, &longer, mac_salt)).is_err());
}

#[test]
fn half_a_surrogate_pair_is_read_as_one_replacement_character() {
    for (written, read) in [
        (r"a\ud83d", "a\u{fffd}"),
        (r"\uDE00b", "\u{fffd}b"),
        (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
        (r"\\ud83d\ud83d\n\/", "\\ud83d\u{fffd}\n/"),
        (r"\ud83dé\u00e9", "\u{fffd}éé"),
    ] {
        let payload = format!(r#"{{"id":"{written}","createdAt":1,"data":{{"user":1}}}}"#);
        let Content::Session(claims) = content(&payload) else {
            panic!("{payload}");
        };
        assert_eq!(claims.id, read);
    }
}

#[test]
fn a_login_without_a_usable_id_or_beginning_is_malformed() {
    let good = json!({"id": "i", "createdAt": 1, "data": {"user": {"id": 5}}});
    assert_eq!(session(&good).id, "i");
    let wrong = |pointer: &str, value: Value| {
        let mut payload = good.clone();
        *payload.pointer_mut(pointer).expect("the field is there") = value;
        payload.to_string()
    };
    let without = |name: &str| {
        let mut payload = good.clone();
        payload.as_object_mut().expect("an object").remove(name);
        payload.to_string()
    };
    for payload in [
        wrong("/id", json!("")),
        wrong("/id", json!(5)),
        wrong("/id", json!(null)),
        wrong("/id", json!(["i"])),
        wrong("/id", json!({"i": 1})),
        wrong("/createdAt", json!("1")),
        wrong("/createdAt", json!(null)),
        wrong("/createdAt", json!([1])),
        without("id"),
        without("createdAt"),
        String::new(),
        "not json".to_owned(),
        format!("{good},"),
        format!("\u{feff}{good}"),
        format!("\u{a0}{good}"),
    ] {
        assert_eq!(content(&payload), Content::Malformed, "{payload}");
    }
    let not_text = seal_bytes(PASSWORD, b"{\"id\":\"\xff\"}", "", &SALTS);
    let opened = open(&not_text).expect("a good seal");
    assert_eq!(opened.session(DEFAULT_SUBJECT_POINTER), Content::Malformed);
}

#[test]
fn without_a_user_it_is_an_anonymous_session_whatever_else_it_is() {
    for payload in [
        json!({"id": "i", "createdAt": 1, "data": {}}),
        json!({"id": "i", "createdAt": 1}),
        json!({"id": 5, "data": []}),
        json!({"id": "i", "createdAt": 1, "data": "user"}),
        json!({"data": {"__proto__": {"user": 1}}}),
        json!({"__proto__": {"id": "i", "createdAt": 1, "data": {"user": 1}}}),
        json!([{"user": 1}]),
        json!("user"),
        json!(null),
    ] {
        assert_eq!(
            content(&payload.to_string()),
            Content::Anonymous,
            "{payload}"
        );
    }
}

#[test]
fn of_two_members_of_a_name_the_last_counts() {
    let twice = r#"{"id":5,"createdAt":1,"data":{"user":1},"i\u0064":"last","data":{"user":{"id":7,"id":8}}}"#;
    let Content::Session(claims) = content(twice) else {
        panic!("no session");
    };
    assert_eq!(
        (claims.id.as_str(), claims.user.as_ref().map(User::as_str)),
        ("last", Some("8"))
    );
    let ended = r#"{"id":"i","createdAt":1,"data":{"user":{"id":1}},"data":{}}"#;
    assert_eq!(content(ended), Content::Anonymous);
}

#[test]
fn nothing_a_user_puts_into_a_session_hides_it() {
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let nested = |depth: usize| format!("{}1{}", r#"{"x":"#.repeat(depth), "}".repeat(depth));
    for held in [
        r#"{"$serde_json::private::RawValue":"]"}"#.to_owned(),
        r#"{"$serde_json::private::Number":"x"}"#.to_owned(),
        r#"{"$__toml_private_datetime":1,"__proto__":null,"constructor":{"prototype":1}}"#
            .to_owned(),
        "1e400".to_owned(),
        "-1e-400".to_owned(),
        "9".repeat(400),
        r#""\ud83d""#.to_owned(),
        deep(128),
        nested(126),
        // As deep as fits into a head.
        deep(5_900),
        nested(1_900),
    ] {
        for payload in [
            format!(r#"{{"id":"i","createdAt":1,"data":{{"user":{{"id":5,"x":{held}}}}}}}"#),
            format!(
                r#"{{"x":{held},"id":"i","createdAt":1,"data":{{"x":{held},"user":{{"id":5}}}}}}"#
            ),
        ] {
            if payload.len() > 12_000 {
                continue;
            }
            let Content::Session(claims) = content(&payload) else {
                panic!("{payload}");
            };
            assert_eq!(
                (claims.id.as_str(), claims.user.as_ref().map(User::as_str)),
                ("i", Some("5"))
            );
        }
    }
}

#[test]
fn the_user_alone_makes_a_session_where_the_pointer_finds_one() {
    let of = |account: Value| {
        let payload = json!({"id": "i", "createdAt": 1, "data": {"account": account}});
        content_at(&payload.to_string(), "/data/account/id")
    };
    let user = |account| match of(account) {
        Content::Session(claims) => claims.user.map(|user| user.to_string()),
        other => panic!("{other:?}"),
    };
    assert_eq!(user(json!({"id": "a"})).as_deref(), Some("a"));
    assert_eq!(user(json!({"id": 0})).as_deref(), Some("0"));
    for nameless in [json!({"id": {}}), json!({"id": 1.5}), json!({"id": "ü"})] {
        assert_eq!(user(nameless), None);
    }
    for nobody in [
        json!({}),
        json!(null),
        json!({"id": null}),
        json!({"id": ""}),
        json!({"id": false}),
    ] {
        assert_eq!(of(nobody), Content::Anonymous);
    }
    let both = json!({"id": "i", "createdAt": 1, "data": {"user": {}}});
    assert_eq!(session_at(&both, "/data/account/id").user, None);
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
        let payload = payload_of_user(&falsy).to_string();
        assert_eq!(content(&payload), Content::Anonymous);
    }
    for truthy in [
        json!(true),
        json!(-1),
        json!(0.5),
        json!("0"),
        json!([]),
        json!({}),
    ] {
        assert_eq!(session(&payload_of_user(&truthy)).id, "i");
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
        assert_eq!(session(&payload).created_at_ms, expected, "{payload}");
    }
    let endless = r#"{"id":"i","createdAt":1e400,"data":{"user":1}}"#;
    let Content::Session(claims) = content(endless) else {
        panic!("no session");
    };
    assert_eq!(claims.created_at_ms, i64::MAX);
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
        let user = session_at(&payload, pointer).user;
        user.map(|user| user.to_string())
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
