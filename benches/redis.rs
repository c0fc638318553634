//! The service on Redis beside the client library by itself: `cargo bench --bench redis`.
//!
//! One side sends logouts and checks over HTTP, on 64 or 256 connections; the other sends the
//! commands that these come to straight to the same server, from as many callers at once: with the
//! client library over one shared connection, as within the service, where commands go out in
//! bundles, or over one each; and with `redis-benchmark -P 1`. Slices alternate, so that whatever
//! else the machine does hits all alike. The server is pinned to core 1 and so is whoever
//! makes the load, this process or `redis-benchmark`; the service has core 0 to itself.

#![expect(clippy::print_stdout, reason = "a benchmark reports")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]
#![expect(
    unreachable_pub,
    reason = "in a binary `pub` says what the modules share"
)]

#[path = "http/load.rs"]
#[expect(dead_code, reason = "the other benchmark uses the rest")]
mod load;
#[path = "http/servers.rs"]
#[expect(dead_code, reason = "the other benchmark uses the rest")]
mod servers;

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use neptun_auth::session::{SessionId, SessionToken};
use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd};

use load::{Load, median, request};
use servers::{Server, free};

const CALLERS: [usize; 2] = [64, 256];

/// Requests of one slice.
const REQUESTS: usize = 20_000;

/// Rounds of slices for each kind of request.
const ROUNDS: usize = 7;

/// What part of the rate of `redis-benchmark` checks are to reach, for each of [`CALLERS`]. A logout
/// is two commands and a line in the log.
const GOALS: [f64; 2] = [0.80, 0.95];

const ON_CORE_0: [&str; 3] = ["taskset", "-c", "0"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Logout,
    Check,
}

impl Kind {
    fn http(self, tokens: &[String]) -> Vec<Vec<u8>> {
        let (method, path) = match self {
            Self::Logout => ("POST", "/api/auth/logout"),
            Self::Check => ("GET", "/api/auth/check"),
        };
        let requests = tokens.iter();
        requests
            .map(|token| request(method, path, Some(token)))
            .collect()
    }

    const fn expected(self) -> &'static [u8] {
        match self {
            Self::Logout => b"HTTP/1.1 200",
            Self::Check => b"HTTP/1.1 204",
        }
    }

    /// What the store sends: the command that decides, and one whose answer nobody awaits.
    fn commands(self, token: &str) -> (Cmd, Option<Cmd>) {
        let token = SessionToken::from_cookie_value(token.as_bytes()).unwrap();
        let id = SessionId::of(&token).to_string();
        let key = format!("neptun-auth:s:{id}");
        let mut decides = redis::cmd(match self {
            Self::Logout => "GETDEL",
            Self::Check => "GET",
        });
        decides.arg(key);
        let unlists = (self == Self::Logout).then(|| {
            let mut unlists = redis::cmd("ZREM");
            unlists.arg("neptun-auth:u:bench").arg(id);
            unlists.set_no_response(true);
            unlists
        });
        (decides, unlists)
    }
}

/// A server with nothing in it that keeps nothing; ended with the benchmark.
struct Redis {
    process: Child,
    address: SocketAddr,
}

impl Redis {
    fn start() -> Self {
        let address = free();
        let process = Command::new("taskset")
            .args([
                "-c",
                "1",
                "redis-server",
                "--port",
                &address.port().to_string(),
            ])
            .args(["--bind", "127.0.0.1", "--save", ""])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < Duration::from_mins(1), "it did not start");
            std::thread::yield_now();
        }
        Self { process, address }
    }

    fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    fn forget(&self) {
        let client = Client::open(self.url()).unwrap();
        let mut connection = client.get_connection().unwrap();
        redis::cmd("FLUSHALL").exec(&mut connection).unwrap();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How many a second the library answers, over as many connections.
fn straight(
    redis: &Redis,
    callers: usize,
    connections: usize,
    kind: Kind,
    tokens: &[String],
) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let commands: Vec<_> = tokens.iter().map(|token| kind.commands(token)).collect();
    runtime.block_on(async {
        let client = Client::open(redis.url()).unwrap();
        let open = (0..connections).map(|_| client.get_multiplexed_async_connection());
        let open = futures_util::future::try_join_all(open).await.unwrap();
        let share = commands.len().div_ceil(callers);
        let begun = Instant::now();
        let callers = commands.chunks(share).enumerate();
        let callers =
            callers.map(|(number, share)| call(open[number % connections].clone(), share));
        futures_util::future::join_all(callers).await;
        per_second(begun)
    })
}

async fn call(mut connection: MultiplexedConnection, commands: &[(Cmd, Option<Cmd>)]) {
    for (decides, unlists) in commands {
        let found: Option<String> = decides.query_async(&mut connection).await.unwrap();
        assert!(found.is_some());
        if let Some(unlists) = unlists {
            connection.send_packed_command(unlists).await.unwrap();
        }
    }
}

fn per_second(begun: Instant) -> f64 {
    f64::from(u32::try_from(REQUESTS).unwrap()) / begun.elapsed().as_secs_f64()
}

/// How many a second `redis-benchmark` gets answered of the command that decides.
fn benchmarked(redis: &Redis, callers: usize, kind: Kind, token: &str) -> f64 {
    let (command, _) = kind.commands(token);
    let words = command.args_iter().map(|word| match word {
        redis::Arg::Simple(word) => String::from_utf8(word.to_vec()).unwrap(),
        _ => unreachable!("a command without a cursor"),
    });
    let run = Command::new("redis-benchmark")
        .args(["-P", "1", "--csv"])
        .args(["-p", &redis.address.port().to_string()])
        .args(["-c", &callers.to_string(), "-n", &REQUESTS.to_string()])
        .args(words)
        .output()
        .unwrap();
    let report = String::from_utf8(run.stdout).unwrap();
    let last = report.lines().last().unwrap();
    let rate = last.split(',').nth(1).unwrap().trim_matches('"');
    rate.parse()
        .unwrap_or_else(|_| panic!("no rate in {report}"))
}

fn main() {
    servers::pin(&[1]);
    println!(
        "| request | connections | over HTTP, a second | / one shared connection | / as many | / redis-benchmark | goal |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (name, kind) in [("logout", Kind::Logout), ("check", Kind::Check)] {
        for (callers, goal) in CALLERS.into_iter().zip(GOALS) {
            let goal = match kind {
                Kind::Check => format!("{goal:.2}"),
                Kind::Logout => "none".to_owned(),
            };
            let [ours, shared, many, benchmark] = compare(kind, callers);
            println!(
                "| {name} | {callers} | {ours:.0} | {shared:.2} | {many:.2} | {benchmark:.2} | {goal} |"
            );
        }
    }
}

/// The service's rate, and its ratio to that of each of the others.
fn compare(kind: Kind, callers: usize) -> [f64; 4] {
    // A fresh one, so that no other kind's leftovers weigh on this.
    let redis = Redis::start();
    let service = Server::service(&ON_CORE_0, &["--store", &redis.url()]);
    let mut rates: [Vec<f64>; 4] = Default::default();
    for _ in 0..ROUNDS {
        let issue = || service.issue(REQUESTS);
        let shared = straight(&redis, callers, 1, kind, &issue());
        let tokens = issue();
        let load = Load::new(service.public).with_connections(callers);
        let ours = load.run(&kind.http(&tokens), kind.expected()).per_second();
        let many = straight(&redis, callers, callers, kind, &issue());
        let benchmark = benchmarked(&redis, callers, kind, &service.issue(1)[0]);
        let round = [ours, ours / shared, ours / many, ours / benchmark];
        for (all, one) in rates.iter_mut().zip(round) {
            all.push(one);
        }
        redis.forget();
    }
    rates.each_mut().map(|all| median(all))
}
