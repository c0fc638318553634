//! An HTTP client that hides nothing: it sends the bytes it is given and shows what came back.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::PATIENCE;

/// A request, one header line at a time.
#[derive(Clone)]
pub struct Ask {
    method: String,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Ask {
    /// A request with a `Host` and nothing else.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            head: format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\n").into_bytes(),
            body: Vec::new(),
        }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    /// One more header; values may hold any bytes.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.head.extend_from_slice(name.as_bytes());
        self.head.extend_from_slice(b": ");
        self.head.extend_from_slice(value.as_ref());
        self.head.extend_from_slice(b"\r\n");
        self
    }

    /// A `Cookie` header with the session cookie.
    pub fn session(self, token: &str) -> Self {
        self.header("cookie", format!("neptun-session={token}"))
    }

    /// A `Cookie` header with the session cookie of each value.
    pub fn sessions(self, tokens: &[String]) -> Self {
        let cookies: Vec<String> = tokens
            .iter()
            .map(|token| format!("neptun-session={token}"))
            .collect();
        self.header("cookie", cookies.join("; "))
    }

    /// A JSON body.
    pub fn json(self, body: &str) -> Self {
        self.header("content-type", "application/json").body(body)
    }

    pub fn body(self, body: &str) -> Self {
        let mut ask = self.header("content-length", body.len().to_string());
        ask.body = body.as_bytes().to_vec();
        ask
    }

    pub fn bytes(&self) -> Vec<u8> {
        [&self.head[..], b"\r\n", &self.body].concat()
    }

    /// Sends it on a connection of its own.
    pub fn send(&self, address: SocketAddr) -> Answer {
        let mut connection = Connection::open(address);
        connection.write(&self.bytes());
        connection.answer_to(&self.method)
    }

    /// The same to one who may go away at any moment; `None` if it did.
    pub fn try_send(&self, address: SocketAddr) -> Option<Answer> {
        let mut connection = Connection::on(TcpStream::connect(address).ok()?);
        connection.0.get_mut().write_all(&self.bytes()).ok()?;
        connection.try_answer_to(&self.method)
    }
}

/// One connection, for as many requests as it takes.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).unwrap())
    }

    fn on(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    pub fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    pub fn ask(&mut self, ask: &Ask) -> Answer {
        self.write(&ask.bytes());
        self.answer_to(&ask.method)
    }

    /// The next answer; the answer to HEAD has no body.
    pub fn answer_to(&mut self, method: &str) -> Answer {
        self.try_answer_to(method)
            .expect("an answer, not a closed connection")
    }

    /// The next answer, or `None` if the connection was closed instead.
    pub fn try_answer_to(&mut self, method: &str) -> Option<Answer> {
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        while let Some(line) = self.line().filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap();
            headers.push((name.to_ascii_lowercase(), value.trim_start().to_owned()));
        }
        let mut answer = Answer {
            status,
            headers,
            body: String::new(),
        };
        let length = answer
            .header("content-length")
            .unwrap_or("0")
            .parse()
            .unwrap();
        if method != "HEAD" {
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).ok()?;
            answer.body = String::from_utf8(body).unwrap();
        }
        Some(answer)
    }

    /// The next bytes, so many of them.
    pub fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// What comes up to and with `end`.
    pub fn read_until(&mut self, end: &str) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(end.as_bytes()) {
            bytes.extend(self.read(1));
        }
        String::from_utf8(bytes).unwrap()
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).unwrap_or(0);
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// Whether the other side has closed; waits until it has or time is up.
    pub fn is_closed_within(&mut self, patience: Duration) -> bool {
        self.stream().set_read_timeout(Some(patience)).unwrap();
        let read = self.0.read(&mut [0; 1]);
        let is_closed = match &read {
            Ok(read) => *read == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        };
        if !is_closed {
            println!("not closed: {read:?}");
        }
        is_closed
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// The value of a header that must not come twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} came twice: {self:?}");
        value
    }

    pub fn json(&self) -> serde_json::Value {
        assert_eq!(
            self.header("content-type"),
            Some("application/json"),
            "{self:?}"
        );
        serde_json::from_str(&self.body).unwrap()
    }
}
