//! The load: 64 keep-alive connections that each ask again as soon as they are answered.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

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
        let mut answers = Vec::with_capacity(requests.len());
        let slice = self.ask(requests, expected, |answer| answers.push(answer.to_vec()));
        (answers, slice)
    }

    /// One loop over all connections and nothing in between: the load must have time to spare,
    /// or what it measures is itself.
    fn ask(
        &self,
        requests: &[Vec<u8>],
        expected: &'static [u8],
        mut each: impl FnMut(&[u8]),
    ) -> Slice {
        let share = requests.len().div_ceil(self.connections);
        let mut clients: Vec<Client<'_>> = requests
            .chunks(share)
            .map(|share| Client::connect(self.address, share))
            .collect();
        let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap();
        for (number, client) in (0..).zip(&clients) {
            epoll::add(
                &epoll,
                &client.stream,
                EventData::new_u64(number),
                EventFlags::IN,
            )
            .unwrap();
        }
        let begun = Instant::now();
        let mut asking = clients.iter_mut().filter_map(Client::ask_next).count();
        let mut ready = Vec::with_capacity(self.connections);
        while asking > 0 {
            ready.clear();
            epoll::wait(&epoll, spare_capacity(&mut ready), None).unwrap();
            for event in &ready {
                let client = &mut clients[usize::try_from(event.data.u64()).unwrap()];
                if client.hears_the_end() {
                    client.check(expected);
                    each(&client.answer);
                    asking -= usize::from(client.ask_next().is_none());
                }
            }
        }
        let took = begun.elapsed();
        let mut latencies: Vec<Duration> = clients.iter().flat_map(|c| &c.times).copied().collect();
        latencies.sort();
        Slice {
            took,
            requests: requests.len(),
            p50: latencies[latencies.len() / 2],
            p99: latencies[latencies.len() * 99 / 100],
            longest: latencies[latencies.len() - 1],
            answer_bytes: clients[0].answer.len(),
        }
    }
}

/// A connection that asks again as soon as it is answered.
struct Client<'a> {
    stream: TcpStream,
    requests: std::slice::Iter<'a, Vec<u8>>,
    asked: Instant,
    answer: Vec<u8>,
    /// How long an answer is. Nearly always as long as the one before, so only another is read
    /// closely.
    length: Option<usize>,
    times: Vec<Duration>,
}

impl<'a> Client<'a> {
    fn connect(address: SocketAddr, requests: &'a [Vec<u8>]) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            requests: requests.iter(),
            asked: Instant::now(),
            answer: Vec::with_capacity(4096),
            length: None,
            times: Vec::with_capacity(requests.len()),
        }
    }

    /// Sends the next request, if there is another.
    fn ask_next(&mut self) -> Option<()> {
        let request = self.requests.next()?;
        self.answer.clear();
        self.asked = Instant::now();
        self.stream.write_all(request).unwrap();
        Some(())
    }

    /// Reads what has come; says whether the answer is complete.
    fn hears_the_end(&mut self) -> bool {
        let read = rustix::io::read(&self.stream, spare_capacity(&mut self.answer)).unwrap();
        assert_ne!(read, 0, "closed");
        if self.length != Some(self.answer.len()) {
            self.length = length_of_answer(&self.answer);
        }
        self.length == Some(self.answer.len())
    }

    fn check(&mut self, expected: &[u8]) {
        self.times.push(self.asked.elapsed());
        let shown = || String::from_utf8_lossy(&self.answer).into_owned();
        assert!(self.answer.starts_with(expected), "{}", shown());
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
