//! What it costs to open a sealed cookie, good or forged, by its length.
//!
//! `cargo bench --bench sealed` takes some seconds. Shown are medians of 25 batches.

#![expect(clippy::print_stdout, reason = "a benchmark reports")]
#![expect(
    clippy::expect_used,
    unreachable_pub,
    reason = "a benchmark that cannot go on panics"
)]

#[path = "../tests/it/sealed/mint.rs"]
mod mint;

use std::hint::black_box;
use std::time::{Duration, Instant};

use neptun_auth::session::sealed::{DEFAULT_SUBJECT_POINTER, Opener, as_h3_reads};
use secrecy::SecretString;

const PASSWORD: &str = "a-password-of-at-least-32-characters";
const BATCHES: usize = 25;
const BATCH: u32 = 2_000;

fn main() {
    let opener = Opener::new(&[SecretString::from(PASSWORD)]).expect("a strong password");
    println!("| seal, bytes | good | forged |");
    println!("|---|---|---|");
    for padding in [0, 500, 2_300] {
        let padding = "x".repeat(padding);
        let payload = format!(
            r#"{{"id":"7e1e4e10-b958-4552-a4fd-32ece6097c6d","createdAt":1767323045678,"data":{{"user":{{"id":5,"more":"{padding}"}}}}}}"#
        );
        let good = mint::seal(PASSWORD, &payload, None);
        let forged = mint::seal("another-password-of-32-characters", &payload, None);
        let (good_cost, forged_cost) = (cost(&opener, &good), cost(&opener, &forged));
        println!("| {} | {good_cost:.1?} | {forged_cost:.1?} |", good.len());
    }
}

/// One reading as logout and check do it: the cookie's bytes, the seal, the session in it.
fn cost(opener: &Opener, seal: &str) -> Duration {
    let mut batches: Vec<Duration> = (0..BATCHES)
        .map(|_| {
            let begun = Instant::now();
            for _ in 0..BATCH {
                let text = as_h3_reads(black_box(seal.as_bytes()));
                let payload = opener.open(&text, 1_795_500_000_000).ok();
                black_box(payload.map(|payload| payload.session(DEFAULT_SUBJECT_POINTER)));
            }
            begun.elapsed() / BATCH
        })
        .collect();
    batches.sort();
    batches[BATCHES / 2]
}
