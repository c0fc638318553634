//! Making a connection: find the server, connect, log in, see that it is one that can be used.
//!
//! redis-rs speaks the protocol; the socket is ours, so that its options and every deadline are.
//! Called by `link` and `cluster`. Never retries, and holds no state but which Sentinel
//! answered last.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, InfoDict, RedisConnectionInfo, RedisError,
};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::conn::Conn;
use super::durability::Promises;
use super::error::{store_error, unavailable};
use super::tls::{self, Secure};
use super::url::{Endpoint, Login, RedisUrl};
use crate::session::StoreError;

/// How many commands may be on their way to the socket; above it callers wait, within their time.
const SEND_BUFFER: usize = 1024;

/// An idle connection is asked for a sign of life after this, then each [`KEEPALIVE_INTERVAL`].
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// The kernel gives up a connection whose data was not acknowledged for this long.
const UNACKNOWLEDGED: Duration = Duration::from_secs(3);

/// How to reach one server.
pub(super) struct Dialer {
    to: Address,
    session: RedisConnectionInfo,
    secure: Arc<Secure>,
    limit: Duration,
}

/// Where a server is.
enum Address {
    Fixed(Endpoint),
    Master {
        name: String,
        sentinels: Vec<Endpoint>,
        preferred: AtomicUsize,
        session: RedisConnectionInfo,
    },
}

type Driver = BoxFuture<'static, ()>;

impl Dialer {
    /// Reaches the server at `endpoint` in the way `url` says; no attempt takes longer than `limit`.
    pub(super) fn to_server(
        url: &RedisUrl,
        endpoint: Endpoint,
        secure: Arc<Secure>,
        limit: Duration,
    ) -> Self {
        Self::new(url, Address::Fixed(endpoint), secure, limit)
    }

    /// Reaches the master that the Sentinels name.
    pub(super) fn to_master(
        url: &RedisUrl,
        sentinels: Vec<Endpoint>,
        name: String,
        secure: Arc<Secure>,
        limit: Duration,
    ) -> Self {
        let to = Address::Master {
            name,
            sentinels,
            preferred: AtomicUsize::new(0),
            session: login(&url.sentinel_login),
        };
        Self::new(url, to, secure, limit)
    }

    fn new(url: &RedisUrl, to: Address, secure: Arc<Secure>, limit: Duration) -> Self {
        Self {
            to,
            session: login(&url.login).set_db(url.db),
            secure,
            limit,
        }
    }

    /// What the connection is to, for the log.
    pub(super) fn describe(&self) -> String {
        match &self.to {
            Address::Fixed(endpoint) => endpoint.to_string(),
            Address::Master { name, .. } => format!("master {name}"),
        }
    }

    /// Makes a connection to a master that is ready to serve.
    pub(super) async fn dial(&self) -> Result<Conn, StoreError> {
        match &self.to {
            Address::Fixed(endpoint) => self.connect(endpoint).await,
            Address::Master {
                name,
                sentinels,
                preferred,
                session,
            } => {
                let first = preferred.load(Ordering::Relaxed);
                let mut last = unavailable("sentinel");
                for step in 0..sentinels.len() {
                    let position = (first + step) % sentinels.len();
                    match self.through(&sentinels[position], name, session).await {
                        Ok(conn) => {
                            preferred.store(position, Ordering::Relaxed);
                            return Ok(conn);
                        }
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    async fn through(
        &self,
        sentinel: &Endpoint,
        name: &str,
        session: &RedisConnectionInfo,
    ) -> Result<Conn, StoreError> {
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("get-master-addr-by-name").arg(name);
        let master: Option<(String, u16)> = self.ask_as(sentinel, &ask, session).await?;
        let (host, port) = master.ok_or(unavailable("sentinel"))?;
        self.connect(&Endpoint { host, port }).await
    }

    /// Asks this very server one thing, on a connection for that.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        endpoint: &Endpoint,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        self.ask_as(endpoint, command, &self.session).await
    }

    async fn ask_as<T: FromRedisValue>(
        &self,
        endpoint: &Endpoint,
        command: &Cmd,
        session: &RedisConnectionInfo,
    ) -> Result<T, StoreError> {
        within(self.limit / 2, async {
            let (mut mux, driver) = self.open(endpoint, session).await?;
            tokio::select! {
                answer = command.query_async(&mut mux) => answer.map_err(store_error),
                () = driver => Err(unavailable("io")),
            }
        })
        .await
    }

    /// Connects to this very server and sees what it is.
    async fn connect(&self, endpoint: &Endpoint) -> Result<Conn, StoreError> {
        within(self.limit, async {
            let (mux, driver) = self.open(endpoint, &self.session).await?;
            // From here on dropping the connection closes it.
            let mut asking = mux.clone();
            let mut examined = Box::pin(examine(&mut asking));
            let mut driver = driver;
            let doubt = tokio::select! {
                doubt = &mut examined => doubt?,
                () = &mut driver => return Err(unavailable("io")),
            };
            Ok(Conn::start(mux, driver, doubt))
        })
        .await
    }

    async fn open(
        &self,
        endpoint: &Endpoint,
        session: &RedisConnectionInfo,
    ) -> Result<(MultiplexedConnection, Driver), StoreError> {
        let socket = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await;
        let socket = socket.and_then(with_options).map_err(io_error)?;
        let Some(connector) = self.secure.connector()? else {
            return speak(session, socket).await;
        };
        let name = tls::server_name(&endpoint.host)?;
        let encrypted = connector.connect(name, socket).await;
        let encrypted = encrypted.map_err(|error| unavailable("tls").caused_by(error))?;
        speak(session, encrypted).await
    }
}

async fn within<T>(
    limit: Duration,
    attempt: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let silent = |_| unavailable("timeout");
    timeout(limit, attempt).await.map_err(silent)?
}

fn login(login: &Login) -> RedisConnectionInfo {
    let mut session = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(user) = &login.user {
        session = session.set_username(user);
    }
    if let Some(password) = &login.password {
        session = session.set_password(password);
    }
    session
}

fn io_error(error: std::io::Error) -> StoreError {
    store_error(RedisError::from(error))
}

fn with_options(socket: TcpStream) -> std::io::Result<TcpStream> {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(3);
    let options = SockRef::from(&socket);
    options.set_tcp_nodelay(true)?;
    options.set_tcp_keepalive(&keepalive)?;
    options.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(socket)
}

/// Logs in. Deadlines are the callers' own, so redis-rs gets none.
async fn speak<S>(
    session: &RedisConnectionInfo,
    stream: S,
) -> Result<(MultiplexedConnection, Driver), StoreError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = AsyncConnectionConfig::new()
        .set_response_timeout(None)
        .set_pipeline_buffer_size(SEND_BUFFER);
    let made = MultiplexedConnection::new_with_config(session, stream, config).await;
    let (mux, driver) = made.map_err(store_error)?;
    Ok((mux, Box::pin(driver)))
}

/// Sees that the server is a master that has its data, and what it promises; gives back the doubt.
///
/// A replica is refused even for reading: it may not have heard yet of a session's end. A server
/// that lets us see nothing of this (an ACL) must answer a `PING`, and is doubted.
async fn examine(mux: &mut MultiplexedConnection) -> Result<Option<String>, StoreError> {
    let info: InfoDict = match redis::cmd("INFO").query_async(mux).await {
        Ok(info) => info,
        Err(error) => {
            let error = store_error(error);
            if error.class() != "noperm" {
                return Err(error);
            }
            let ping = redis::cmd("PING");
            let _: redis::Value = ping.query_async(mux).await.map_err(store_error)?;
            return Ok(Promises::default().doubt());
        }
    };
    if info.get::<u8>("loading") == Some(1) {
        return Err(unavailable("loading"));
    }
    if info
        .get::<String>("role")
        .is_some_and(|role| role != "master")
    {
        return Err(unavailable("readonly"));
    }
    let mut config = redis::cmd("CONFIG");
    config.arg("GET").arg("appendfsync");
    let fsync: Result<Vec<String>, _> = config.query_async(mux).await;
    let fsync = fsync.ok().and_then(|pair| pair.into_iter().nth(1));
    Ok(Promises::of(&info, fsync).doubt())
}
