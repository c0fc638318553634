//! One request to the admin listener and its answer: HTTP/1.1 as far as our own service speaks it.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

/// Most of an answer that is read, in bytes: a list of a thousand sessions takes half a million.
const LARGEST_ANSWER: u64 = 16 << 20;

/// What is asked for.
pub(super) struct Request {
    method: &'static str,
    target: String,
    token: Option<SecretString>,
    body: Option<String>,
}

/// What the service said.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The status and its reason, as they came.
    pub(super) status_line: String,
    pub(super) body: Vec<u8>,
}

/// Nobody answered.
#[derive(Debug, thiserror::Error)]
#[error("no answer from {address}: {source}")]
pub(super) struct Silence {
    address: SocketAddr,
    source: io::Error,
}

impl Request {
    pub(super) const fn get(target: String) -> Self {
        Self::new("GET", target)
    }

    pub(super) const fn new(method: &'static str, target: String) -> Self {
        Self {
            method,
            target,
            token: None,
            body: None,
        }
    }

    pub(super) fn authorized(mut self, token: &SecretString) -> Self {
        self.token = Some(token.clone());
        self
    }

    pub(super) fn json(mut self, body: String) -> Self {
        self.body = Some(body);
        self
    }

    /// Sends it to the first of `addresses` that takes a connection; each step may last `patience`.
    pub(super) fn send(
        &self,
        addresses: &[SocketAddr],
        patience: Duration,
    ) -> Result<Answer, Silence> {
        let mut silence = None;
        for &address in addresses {
            let silent = |source| Silence { address, source };
            match TcpStream::connect_timeout(&address, patience) {
                Ok(stream) => {
                    // What has been sent is never sent again: it may have been done.
                    return self.send_on(&stream, address, patience).map_err(silent);
                }
                Err(error) => {
                    silence.get_or_insert(silent(error));
                }
            }
        }
        let nowhere = || Silence {
            address: ([0, 0, 0, 0], 0).into(),
            source: ErrorKind::AddrNotAvailable.into(),
        };
        Err(silence.unwrap_or_else(nowhere))
    }

    fn send_on(
        &self,
        mut stream: &TcpStream,
        address: SocketAddr,
        patience: Duration,
    ) -> io::Result<Answer> {
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        stream.write_all(self.bytes(address).as_bytes())?;
        read_answer(stream).map_err(|error| match error.kind() {
            // What Linux says of a read that took too long.
            ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
            _ => error,
        })
    }

    fn bytes(&self, address: SocketAddr) -> String {
        let Self { method, target, .. } = self;
        let token = self.token.as_ref().map(SecretString::expose_secret);
        let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n"));
        let content = self.body.as_ref().map(|body| {
            let length = body.len();
            format!("content-type: application/json\r\ncontent-length: {length}\r\n")
        });
        let line = format!("{method} {target} HTTP/1.1\r\n");
        let host = format!("host: {address}\r\nconnection: close\r\n");
        let [authorization, content, body] =
            [authorization, content, self.body.clone()].map(Option::unwrap_or_default);
        [line, host, authorization, content, "\r\n".to_owned(), body].concat()
    }
}

fn read_answer(stream: &TcpStream) -> io::Result<Answer> {
    let mut stream = BufReader::new(stream.take(LARGEST_ANSWER));
    let mut line = || {
        let mut line = String::new();
        match stream.read_line(&mut line)? {
            0 => Err(io::Error::from(ErrorKind::UnexpectedEof)),
            _ => Ok(line.trim_end().to_owned()),
        }
    };
    let status_line = line()?;
    let is_http = status_line.starts_with("HTTP/1.");
    let status = status_line.split(' ').nth(1).filter(|_| is_http);
    let status = status.and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("it does not speak HTTP"))?;
    let mut length = 0;
    loop {
        let header = line()?;
        if header.is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            let value = value.trim().parse();
            length = value.map_err(|_| io::Error::other("its answer has no length"))?;
        }
    }
    let mut body = Vec::new();
    stream.take(length).read_to_end(&mut body)?;
    if body.len() as u64 != length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(Answer {
        status,
        status_line,
        body,
    })
}
