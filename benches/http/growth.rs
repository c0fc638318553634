//! What a request pays for how many sessions there are: ten million beside ten thousand, and
//! while the ten million expire within a minute.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::ON_CORE_0;
use super::load::{Load, Slice, median, request};
use super::servers::{Server, pin};

const FEW: usize = 10_000;
const MANY: usize = 10_000_000;

/// Issued once all are swept, to see whether the memory is used again.
const AGAIN: usize = 5_000_000;

/// Sessions issued in one go.
const BATCH: usize = 100_000;

/// Tokens kept to ask with, from all over.
const KEPT: usize = 200_000;

/// Pairs of slices for each kind of request, and requests of a slice.
const PAIRS: usize = 21;
const REQUESTS: usize = 5_000;

/// When the first of the ten million expires, counted from when the first is issued: the rest has
/// to be issued and measured by then.
const FIRST_EXPIRES: Duration = Duration::from_mins(7);

/// How long it takes until all ten million have expired, and until all that is over has then been
/// swept: a round takes about a minute.
const EXPIRY: Duration = Duration::from_mins(1);
const SWEEPING: Duration = Duration::from_secs(75);

/// Those who ask while the sessions expire.
const PROBES: usize = 4;

/// Prints both tables.
pub fn report() {
    pin(&[1]);
    // A log line for each of ten million sessions is not what is measured here.
    let settings = ["--log", "warn", "--max-sessions", "20000000"];
    let begun = Instant::now();
    let hour = |_| Duration::from_hours(1);
    let mut few = Population::of(Server::service(&ON_CORE_0, &settings), FEW, hour);
    let mut many = Population::of(Server::service(&ON_CORE_0, &settings), MANY, |number| {
        let share = u32::try_from(number / (MANY / 1000)).unwrap();
        let expires = FIRST_EXPIRES + EXPIRY * share / 1000;
        expires.saturating_sub(begun.elapsed())
    });

    println!("| request | p99, ten thousand sessions | p99, ten million | ratio |");
    println!("|---|---|---|---|");
    compare("check", &mut few, &mut many, Population::checks);
    compare("logout", &mut few, &mut many, Population::logouts);
    drop(few);
    assert!(
        begun.elapsed() < FIRST_EXPIRES,
        "the machine is too slow for this"
    );

    println!("\n| | longest of | waited | resident |");
    println!("|---|---|---|---|");
    many.watch("before any expires", begun + FIRST_EXPIRES);
    many.watch("while ten million expire", begun + FIRST_EXPIRES + EXPIRY);
    many.watch(
        "until all are swept",
        begun + FIRST_EXPIRES + EXPIRY + SWEEPING,
    );
    let again = Population::of(many.server, AGAIN, hour);
    let megabytes = again.server.resident_megabytes();
    println!("| after five million new ones | | | {megabytes} MB |");
}

/// A service, and some tokens of its live sessions.
struct Population {
    server: Server,
    tokens: VecDeque<String>,
}

impl Population {
    /// Issues `count` sessions, ten to a user; `ttl` says for how long the one of a number lives.
    fn of(server: Server, count: usize, ttl: impl Fn(usize) -> Duration) -> Self {
        let mut tokens = VecDeque::new();
        let numbers: Vec<usize> = (0..count).collect();
        for batch in numbers.chunks(BATCH) {
            let bodies = batch.iter().map(|number| {
                let user = number.wrapping_mul(2_654_435_761) % count.div_ceil(10);
                let seconds = ttl(*number).as_secs();
                format!(r#"{{"user":"{user:08}","ttlSeconds":{seconds}}}"#)
            });
            let (issued, _) = server.issue_each(&bodies.collect::<Vec<_>>(), 64);
            let some = issued.into_iter().step_by(count.div_ceil(KEPT));
            tokens.extend(some);
        }
        Self { server, tokens }
    }

    /// Checks of other sessions each time.
    fn checks(&mut self) -> Slice {
        self.tokens.rotate_left(REQUESTS);
        let tokens = self.tokens.iter().take(REQUESTS);
        let requests = tokens.map(|token| request("GET", "/api/auth/check", Some(token)));
        Load::new(self.server.public).run(&requests.collect::<Vec<_>>(), b"HTTP/1.1 204")
    }

    /// Logouts of the sessions kept longest; as many are issued anew.
    fn logouts(&mut self) -> Slice {
        let tokens = self.tokens.drain(..REQUESTS);
        let requests = tokens.map(|token| request("POST", "/api/auth/logout", Some(&token)));
        let requests: Vec<Vec<u8>> = requests.collect();
        let slice = Load::new(self.server.public).run(&requests, b"HTTP/1.1 200");
        self.tokens.extend(self.server.issue(REQUESTS));
        slice
    }

    /// Issues, checks and logs out until `end`, and prints the longest wait.
    fn watch(&self, when: &str, end: Instant) {
        let (mut longest, mut asked) = (Duration::ZERO, 0);
        let load = Load::new(self.server.public).with_connections(PROBES);
        while Instant::now() < end {
            let bodies = vec![r#"{"user":"the-probe"}"#.to_owned(); REQUESTS / 10];
            let (tokens, issuing) = self.server.issue_each(&bodies, PROBES);
            let of = |method, path| -> Vec<Vec<u8>> {
                tokens
                    .iter()
                    .map(|token| request(method, path, Some(token)))
                    .collect()
            };
            let checks = load.run(&of("GET", "/api/auth/check"), b"HTTP/1.1 204");
            let logouts = load.run(&of("POST", "/api/auth/logout"), b"HTTP/1.1 200");
            longest = longest
                .max(issuing.longest)
                .max(checks.longest)
                .max(logouts.longest);
            asked += 3 * tokens.len();
        }
        let (millis, megabytes) = (
            longest.as_secs_f64() * 1e3,
            self.server.resident_megabytes(),
        );
        println!("| {when} | {asked} requests | {millis:.1} ms | {megabytes} MB |");
    }
}

fn compare(
    name: &str,
    few: &mut Population,
    many: &mut Population,
    slice: impl Fn(&mut Population) -> Slice,
) {
    let (mut of_few, mut of_many, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let [one, other] = [slice(few), slice(many)].map(|slice| slice.p99.as_secs_f64());
        of_few.push(one * 1e3);
        of_many.push(other * 1e3);
        ratios.push(other / one);
    }
    println!(
        "| {name} | {:.2} ms | {:.2} ms | {:.2} |",
        median(&mut of_few),
        median(&mut of_many),
        median(&mut ratios)
    );
}
