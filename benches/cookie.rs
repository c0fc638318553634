//! What it costs to find the session's values in a request's cookies, beside the `cookie` crate
//! that `tower-cookies` reads with.
//!
//! `cargo bench --bench cookie` takes some seconds. Shown are medians of 25 batches.

#![expect(clippy::print_stdout, reason = "a benchmark reports")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use axum::http::header::{COOKIE, HeaderMap, HeaderValue};
use neptun_auth::http::{CookieSettings, SessionCookie};
use tower_cookies::Cookie;
use tower_cookies::cookie::SameSite;

const NAME: &str = "neptun-session";
const TOKEN: &str = "uwZ2_tjRW5StmcmfoCnr6j1Vs_Clo6BgVxeszfZWCNc";

/// Most of a request's head.
const MOST: usize = 16 * 1024;

const BATCHES: usize = 25;
const BATCH: u32 = 1_000;

fn main() {
    let cookie = SessionCookie::new(CookieSettings {
        name: NAME.to_owned(),
        path: "/".to_owned(),
        domain: None,
        same_site: SameSite::Lax,
        secure: true,
        accepts_seals: false,
    })
    .unwrap();
    let session = format!("{NAME}={TOKEN}");
    let others = "other=some-value; ".repeat(10);
    println!("| cookies | bytes | sessions found | cost | with the cookie crate |");
    println!("|---|---|---|---|---|");
    for (what, line) in [
        ("the session alone", session.clone()),
        ("the session behind ten others", others + &session),
        ("as many others as a head holds", "a=b;".repeat(MOST / 4)),
        (
            "as many sessions as a head holds",
            format!("{NAME}=x;").repeat(MOST / 17),
        ),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::try_from(&*line).unwrap());
        let found = cookie.values(&headers).len();
        let ours = cost(|| cookie.values(black_box(&headers)).len());
        let theirs = cost(|| {
            let text = black_box(&headers)[COOKIE].to_str().unwrap();
            let cookies = Cookie::split_parse(text).filter_map(Result::ok);
            cookies.filter(|cookie| cookie.name() == NAME).count()
        });
        println!(
            "| {what} | {} | {found} | {ours:.1?} | {theirs:.1?} |",
            line.len()
        );
    }
}

fn cost(read: impl Fn() -> usize) -> Duration {
    let mut batches: Vec<Duration> = (0..BATCHES)
        .map(|_| {
            let begun = Instant::now();
            for _ in 0..BATCH {
                black_box(read());
            }
            begun.elapsed() / BATCH
        })
        .collect();
    batches.sort();
    batches[BATCHES / 2]
}
