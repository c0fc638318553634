//! Listeners, whose options their connections inherit.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};

use super::RunError;
use crate::config::Limits;

/// How many connections may wait to be accepted.
pub(super) const BACKLOG: u32 = 4096;

/// How much of a connection the system may hold, each way, in bytes. Left alone it lets a client
/// that asks without reading pin 4 MB, and has the service fill them.
const SYSTEM_BUFFER: u32 = 64 * 1024;

/// The longest time that `TCP_USER_TIMEOUT` takes, some 25 days.
const LONGEST_USER_TIMEOUT: Duration = Duration::from_millis(i32::MAX as u64);

/// A listener whose connections send at once, are given up when the peer is gone, and are held
/// within bounds.
pub(super) fn listen(
    flag: &'static str,
    address: SocketAddr,
    limits: &Limits,
) -> Result<TcpListener, RunError> {
    let open = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.set_nodelay(true)?;
        socket.set_keepalive(true)?;
        socket.set_send_buffer_size(SYSTEM_BUFFER)?;
        socket.set_recv_buffer_size(SYSTEM_BUFFER)?;
        let given_up_after = limits.request_timeout.min(LONGEST_USER_TIMEOUT);
        socket2::SockRef::from(&socket).set_tcp_user_timeout(Some(given_up_after))?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|source| RunError::Listen {
        flag,
        address,
        source,
    })
}
