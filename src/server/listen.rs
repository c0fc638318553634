//! Listeners, whose options their connections inherit.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

use super::RunError;
use crate::config::Limits;

/// How many connections may wait to be accepted.
pub(super) const BACKLOG: i32 = 4096;

/// How much of a connection the system may hold, each way, in bytes. Left alone it lets a client
/// that asks without reading pin 4 MB, and has the service fill them.
const SYSTEM_BUFFER: usize = 64 * 1024;

/// The longest time that `TCP_USER_TIMEOUT` takes, some 25 days.
const LONGEST_USER_TIMEOUT: Duration = Duration::from_millis(i32::MAX as u64);

/// A listener, and whether it outlives this process.
#[derive(Debug)]
pub struct Listening {
    pub(super) socket: TcpListener,
    /// It was handed over, and is left as it is at the end: what waits in its queue is for the next
    /// process.
    pub(super) is_handed_over: bool,
}

impl Listening {
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }
}

impl From<TcpListener> for Listening {
    fn from(socket: TcpListener) -> Self {
        Self {
            socket,
            is_handed_over: false,
        }
    }
}

/// A listener whose connections send at once, are given up when the peer is gone, and are held
/// within bounds: the one that was handed over, or else one on `address`.
pub(super) fn listen(
    flag: &'static str,
    address: SocketAddr,
    limits: &Limits,
    handed_over: Option<std::net::TcpListener>,
) -> Result<Listening, RunError> {
    let is_handed_over = handed_over.is_some();
    let open = || {
        let socket = match handed_over {
            Some(socket) => socket.into(),
            None => bound(address)?,
        };
        socket.set_tcp_nodelay(true)?;
        socket.set_keepalive(true)?;
        socket.set_send_buffer_size(SYSTEM_BUFFER)?;
        socket.set_recv_buffer_size(SYSTEM_BUFFER)?;
        let given_up_after = limits.request_timeout.min(LONGEST_USER_TIMEOUT);
        socket.set_tcp_user_timeout(Some(given_up_after))?;
        socket.set_nonblocking(true)?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    let opened = open().map_err(|source| RunError::Listen {
        flag,
        address,
        source,
    });
    opened.map(|socket| Listening {
        socket,
        is_handed_over,
    })
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
