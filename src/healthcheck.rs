//! `neptun-auth healthcheck`: asks the running service whether it is ready, for containers that
//! have neither a shell nor curl.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// For each of connecting, asking and being answered.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why the service does not count as ready.
#[derive(Debug, thiserror::Error)]
pub enum Unready {
    /// There is nobody to ask.
    #[error("--admin-listen: `{0}` is no address")]
    NoAddress(String),
    /// It did not answer.
    #[error("no answer from {0}: {1}")]
    Silent(SocketAddr, io::Error),
    /// It answered, and not that it is ready.
    #[error("not ready: {0}")]
    Says(String),
}

/// Asks `/readyz` of the service whose `--admin-listen` is `admin`. No other setting matters.
pub fn ask(admin: &str) -> Result<(), Unready> {
    let resolved = admin.to_socket_addrs().ok().and_then(|mut all| all.next());
    let address = resolved.ok_or_else(|| Unready::NoAddress(admin.to_owned()))?;
    let address = reachable(address);
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

/// Who listens on all addresses is asked on the loopback one.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut reachable = address;
    if address.ip().is_unspecified() {
        reachable.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    reachable
}
