//! `neptun-auth healthcheck`: asks the running service whether it is ready, for containers that
//! have neither a shell nor curl.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// For each of connecting, asking and being answered.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why the service does not count as ready.
#[derive(Debug, thiserror::Error)]
pub enum Unready {
    /// It did not answer.
    #[error("no answer from {0}: {1}")]
    Silent(SocketAddr, io::Error),
    /// It answered, and not that it is ready.
    #[error("not ready: {0}")]
    Says(String),
}

/// Asks `/readyz` of the admin listener, at the first of its `addresses` where anybody answers.
pub fn ask(addresses: &[SocketAddr]) -> Result<(), Unready> {
    let mut silent = None;
    for &address in addresses {
        match status_line(address) {
            Ok(status) if status.split(' ').nth(1) == Some("200") => return Ok(()),
            Ok(status) => return Err(Unready::Says(status.trim_end().to_owned())),
            Err(error) => {
                silent.get_or_insert(Unready::Silent(address, error));
            }
        }
    }
    silent.map_or(Ok(()), Err)
}

fn status_line(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut line = String::new();
    match BufReader::new(stream).read_line(&mut line)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line),
    }
}
