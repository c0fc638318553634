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

/// Asks `/readyz` at `address`, where the admin listener is.
pub fn ask(address: SocketAddr) -> Result<(), Unready> {
    let status = status_line(address).map_err(|error| Unready::Silent(address, error))?;
    let ready = status.split(' ').nth(1) == Some("200");
    ready
        .then_some(())
        .ok_or_else(|| Unready::Says(status.trim_end().to_owned()))
}

fn status_line(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}
