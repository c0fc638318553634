//! The load: 64 keep-alive connections that each ask again as soon as they are answered.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Connections at once.
const CONNECTIONS: usize = 64;

/// A target for load.
pub struct Load {
    address: SocketAddr,
    connections: usize,
}

/// What one slice showed.
pub struct Slice {
    took: Duration,
    requests: usize,
    /// The median of the time from a request to its answer.
    pub p50: Duration,
    /// Its 99th percentile.
    pub p99: Duration,
    /// The longest.
    pub longest: Duration,
    /// The size of the first answer.
    pub answer_bytes: usize,
}

impl Slice {
    pub fn per_second(&self) -> f64 {
        f64::from(u32::try_from(self.requests).unwrap()) / self.took.as_secs_f64()
    }
}

impl Load {
    pub const fn new(address: SocketAddr) -> Self {
        Self {
            address,
            connections: CONNECTIONS,
        }
    }

    pub const fn with_connections(self, connections: usize) -> Self {
        Self {
            connections,
            ..self
        }
    }

    /// Sends each request once and checks how its answer begins.
    pub fn run(&self, requests: &[Vec<u8>], expected: &'static [u8]) -> Slice {
        self.ask(requests, expected, |_| {})
    }

    /// Sends each request once and hands out the answers' bytes too, in no particular order.
    pub fn collect(&self, requests: &[Vec<u8>], expected: &'static [u8]) -> (Vec<Vec<u8>>, Slice) {
        let answers = std::sync::Mutex::new(Vec::with_capacity(requests.len()));
        let slice = self.ask(requests, expected, |answer| {
            answers.lock().unwrap().push(answer.to_vec());
        });
        (answers.into_inner().unwrap(), slice)
    }

    fn ask(&self, requests: &[Vec<u8>], expected: &'static [u8], each: impl Fn(&[u8])) -> Slice {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let streams = (0..self.connections).map(|_| TcpStream::connect(self.address));
            let streams = futures_util::future::try_join_all(streams).await.unwrap();
            let share = requests.len().div_ceil(self.connections);
            let begun = Instant::now();
            let clients = streams.into_iter().zip(requests.chunks(share));
            let clients = clients.map(|(stream, share)| converse(stream, share, expected, &each));
            let done = futures_util::future::join_all(clients).await;
            let took = begun.elapsed();
            let answer_bytes = done[0].1;
            let times = done.into_iter().flat_map(|(times, _)| times);
            let mut latencies: Vec<Duration> = times.collect();
            latencies.sort();
            Slice {
                took,
                requests: requests.len(),
                p50: latencies[latencies.len() / 2],
                p99: latencies[latencies.len() * 99 / 100],
                longest: latencies[latencies.len() - 1],
                answer_bytes,
            }
        })
    }
}

/// A request as a browser behind a proxy sends it, as far as size goes.
pub fn request(method: &str, path: &str, token: Option<&str>) -> Vec<u8> {
    let cookie = token.map(|token| format!("cookie: theme=dark; neptun-session={token}\r\n"));
    format!(
        "{method} {path} HTTP/1.1\r\nhost: auth.example.com\r\nuser-agent: neptun-bench\r\n\
         accept: */*\r\n{}\r\n",
        cookie.unwrap_or_default()
    )
    .into_bytes()
}

/// The median; leaves the values sorted.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn converse(
    mut stream: TcpStream,
    requests: &[Vec<u8>],
    expected: &'static [u8],
    each: &impl Fn(&[u8]),
) -> (Vec<Duration>, usize) {
    stream.set_nodelay(true).unwrap();
    let mut times = Vec::with_capacity(requests.len());
    let mut buffer = Vec::with_capacity(4096);
    let mut length = None;
    for request in requests {
        let begun = Instant::now();
        stream.write_all(request).await.unwrap();
        buffer.clear();
        // Nearly always one answer is as long as the one before, so only another is read closely:
        // the load must have time to spare, or what it measures is itself.
        while buffer.is_empty() || length != Some(buffer.len()) {
            assert_ne!(stream.read_buf(&mut buffer).await.unwrap(), 0, "closed");
            if length != Some(buffer.len()) {
                length = length_of_answer(&buffer);
            }
        }
        times.push(begun.elapsed());
        let shown = || String::from_utf8_lossy(&buffer).into_owned();
        assert!(buffer.starts_with(expected), "{}", shown());
        each(&buffer);
    }
    (times, length.unwrap_or_default())
}

/// How long the answer that begins like this is in all, once its head is complete.
fn length_of_answer(answer: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length: ";
    let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let at = answer[..head]
        .windows(NAME.len())
        .position(|bytes| bytes == NAME);
    let body = at.map_or(0, |at| {
        let digits = answer[at + NAME.len()..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit());
        digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
    });
    Some(head + body)
}
