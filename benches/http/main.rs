//! The service beside a bare axum router that answers the same bytes and does nothing: no store,
//! no cookie, no layer. Ratios of throughput and latency, measured side by side in one run.
//!
//! `cargo bench --bench http` takes about a minute. Both servers are pinned to core 0 and the
//! load to core 1; slices alternate, so that whatever else the machine does hits both alike.
//! Shown are medians over pairs of slices, and between which ratios the middle half of them lies.
//!
//! More, each with a flag after `cargo bench --bench http --`:
//!
//! - `--instructions`: instructions in user space for each request, which no other load disturbs;
//!   under callgrind, some minutes.
//! - `--threads`: what a second worker thread is worth.
//! - `--growth`: ten million sessions beside ten thousand, and while they expire; a quarter of an
//!   hour and two gigabytes.
//! - `--beside`: what a check pays for others' durable logouts.

#![expect(clippy::print_stdout, reason = "a benchmark reports")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark that cannot go on panics"
)]
#![expect(
    unreachable_pub,
    reason = "in a binary `pub` says what the modules share"
)]

mod bare;
mod beside;
mod growth;
mod instructions;
mod load;
mod servers;
mod threads;

use load::{Load, Slice, median, request};
use servers::Server;

/// Pairs of slices for each scenario.
const PAIRS: usize = 41;

/// Requests of one slice: a tenth of a second, so that what slows the machine down hits both sides of
/// a pair.
const REQUESTS: usize = 10_000;

/// Sessions that the service keeps besides.
const KEPT: usize = 200_000;

/// Where the servers run.
const ON_CORE_0: [&str; 3] = ["taskset", "-c", "0"];

/// What is asked, and so what is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// `check` of a live session.
    CheckLive,
    /// `logout` without a cookie.
    LogoutBare,
    /// `logout` of a session nobody knows.
    LogoutUnknown,
    /// `logout` of live sessions, each request another.
    LogoutLive,
}

impl Scenario {
    const ALL: [Self; 4] = [
        Self::CheckLive,
        Self::LogoutBare,
        Self::LogoutUnknown,
        Self::LogoutLive,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::CheckLive => "check, live session",
            Self::LogoutBare => "logout, no cookie",
            Self::LogoutUnknown => "logout, unknown session",
            Self::LogoutLive => "logout, live sessions",
        }
    }

    /// What the service must answer to each of them.
    const fn expected(self) -> &'static [u8] {
        match self {
            Self::CheckLive => b"HTTP/1.1 204",
            Self::LogoutBare => b"HTTP/1.1 401",
            Self::LogoutUnknown | Self::LogoutLive => b"HTTP/1.1 200",
        }
    }

    /// The requests of one slice against the service, sessions issued as needed.
    fn requests(self, service: &Server, count: usize) -> Vec<Vec<u8>> {
        match self {
            Self::CheckLive => {
                let token = &service.issue(1)[0];
                vec![request("GET", "/api/auth/check", Some(token)); count]
            }
            Self::LogoutBare => vec![request("POST", "/api/auth/logout", None); count],
            Self::LogoutUnknown => {
                let unknown = "uwZ2_tjRW5StmcmfoCnr6j1Vs_Clo6BgVxeszfZWCNc";
                vec![request("POST", "/api/auth/logout", Some(unknown)); count]
            }
            Self::LogoutLive => {
                let tokens = service.issue(count);
                let requests = tokens.iter();
                requests
                    .map(|token| request("POST", "/api/auth/logout", Some(token)))
                    .collect()
            }
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == bare::FLAG) {
        return bare::run();
    }
    let reports: [(&str, fn()); 4] = [
        ("--instructions", instructions::report),
        ("--threads", threads::report),
        ("--growth", growth::report),
        ("--beside", beside::report),
    ];
    for (flag, report) in reports {
        if arguments.iter().any(|argument| argument == flag) {
            return report();
        }
    }
    servers::pin(&[1]);
    let service = Server::service(&ON_CORE_0, &[]);
    service.issue(KEPT);
    let bare = Server::myself(&ON_CORE_0, bare::FLAG);
    println!(
        "| request | throughput / bare axum | middle half | p99 / bare axum | requests a second |"
    );
    println!("|---|---|---|---|---|");
    for scenario in Scenario::ALL {
        compare(scenario, &service, &bare);
    }
}

fn compare(scenario: Scenario, service: &Server, bare: &Server) {
    // Warms both up, and shows that both answer the same.
    let (mut ratios, mut p99s, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..=PAIRS {
        // Each pair its own, so that no session is left over: the bare server ends none.
        let requests = scenario.requests(service, REQUESTS);
        let slice = |server: &Server| Load::new(server.public).run(&requests, scenario.expected());
        let [ours, theirs]: [Slice; 2] = if pair % 2 == 0 {
            [slice(service), slice(bare)]
        } else {
            let theirs = slice(bare);
            [slice(service), theirs]
        };
        if pair == 0 {
            // The bare server says `true` where `false` may be due.
            let difference = ours.answer_bytes.abs_diff(theirs.answer_bytes);
            assert!(
                difference <= 1,
                "both answer the same bytes, not {difference} more"
            );
            continue;
        }
        ratios.push(ours.per_second() / theirs.per_second());
        p99s.push(ours.p99.as_secs_f64() / theirs.p99.as_secs_f64());
        rates.push(ours.per_second());
    }
    let ratio = median(&mut ratios);
    println!(
        "| {} | {ratio:.2} | {:.2}..{:.2} | {:.2} | {:.0} |",
        scenario.name(),
        ratios[PAIRS / 4],
        ratios[PAIRS * 3 / 4],
        median(&mut p99s),
        median(&mut rates),
    );
}
