//! How servers are reached: redis-rs dials, speaks TLS (rustls with ring, certificates always
//! verified) and logs in, at one address at a time.
//!
//! Its own ways of keeping connections up stay out, for reasons that were measured: the callers of
//! `ConnectionManager` wait out its reconnects, and it never replaces a silent or a demoted
//! server; `cluster_async` holds up calls to healthy nodes while it recovers, and its `WAIT` need
//! not be on the connection that wrote; its Sentinel client believes the first that answers.
//! What takes their place is `node` and `topology`.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::io::AsyncDNSResolver;
use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo,
    IntoConnectionInfo as _, ProtocolVersion, RedisConnectionInfo, RedisFuture, TlsCertificates,
};
use tokio::net::lookup_host;

use super::error::{Class, Failure};
use super::url::{Endpoint, Login, RedisUrl, Tls};

/// How many commands may be on their way to the socket; above it callers wait, within their time.
const SEND_BUFFER: usize = 1024;

/// An idle connection is asked for a sign of life after this, then each [`KEEPALIVE_INTERVAL`].
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// The kernel gives up a connection whose data was not acknowledged for this long.
const UNACKNOWLEDGED: Duration = Duration::from_secs(3);

/// How servers are reached, alike for all of a store.
pub(super) struct Way {
    login: Login,
    sentinel_login: Login,
    tls: Option<Box<Tls>>,
    pub(super) db: i64,
    /// The time a call may take, and so an attempt at a connection.
    pub(super) timeout: Duration,
    pub(super) wait_replicas: usize,
    /// A key of ours that never is.
    pub(super) no_key: String,
}

/// One address of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ServerAddr {
    pub(super) endpoint: Endpoint,
    pub(super) socket: SocketAddr,
}

/// Who is logged in to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum As {
    Server,
    Sentinel,
}

impl Way {
    pub(super) fn new(
        url: &RedisUrl,
        timeout: Duration,
        wait_replicas: usize,
        no_key: String,
    ) -> Self {
        Self {
            login: url.login.clone(),
            sentinel_login: url.sentinel_login.clone(),
            tls: url.tls.clone(),
            db: url.db,
            timeout,
            wait_replicas,
            no_key,
        }
    }

    /// How long a caller waits for what is being connected to for the first time.
    pub(super) fn patience(&self) -> Duration {
        (self.timeout / 4).min(Duration::from_millis(250))
    }

    /// A connection that is logged in, and no more than that.
    pub(super) async fn open(
        &self,
        addr: &ServerAddr,
        whom: As,
    ) -> Result<MultiplexedConnection, Failure> {
        let (protocol, config) = (ProtocolVersion::RESP2, config(addr.socket));
        let client = self.client(&addr.endpoint, whom, protocol)?;
        let open = client.get_multiplexed_async_connection_with_config(&config);
        Ok(open.await?)
    }

    /// The same to a server, with somebody who is told of its end at once: RESP3 can do that.
    pub(super) async fn open_watched(
        &self,
        addr: &ServerAddr,
        watcher: impl AsyncPushSender,
    ) -> Result<MultiplexedConnection, Failure> {
        let (protocol, config) = (ProtocolVersion::RESP3, config(addr.socket));
        let client = self.client(&addr.endpoint, As::Server, protocol)?;
        let config = config.set_push_sender(watcher);
        let open = client.get_multiplexed_async_connection_with_config(&config);
        Ok(open.await?)
    }

    fn client(
        &self,
        to: &Endpoint,
        whom: As,
        protocol: ProtocolVersion,
    ) -> Result<Client, Failure> {
        let (host, port) = (to.host.clone(), to.port);
        let info = |addr: ConnectionAddr| -> Result<ConnectionInfo, Failure> {
            let info = addr.into_connection_info()?.set_tcp_settings(tcp());
            Ok(info.set_redis_settings(self.session(whom, protocol)))
        };
        let Some(tls) = &self.tls else {
            return Ok(Client::open(info(ConnectionAddr::Tcp(host, port))?)?);
        };
        let addr = ConnectionAddr::TcpTls {
            host,
            port,
            insecure: false,
            tls_params: None,
        };
        let client = Client::build_with_tls(info(addr)?, certificates(tls)?);
        client.map_err(|error| Failure::from(Class::Tls).because(error))
    }

    fn session(&self, whom: As, protocol: ProtocolVersion) -> RedisConnectionInfo {
        let login = match whom {
            As::Server => &self.login,
            As::Sentinel => &self.sentinel_login,
        };
        let mut session = RedisConnectionInfo::default()
            .set_skip_set_lib_name()
            .set_protocol(protocol);
        if let Some(user) = &login.user {
            session = session.set_username(user);
        }
        if let Some(password) = &login.password {
            session = session.set_password(password);
        }
        session
    }
}

/// All addresses of a name.
pub(super) async fn resolve(endpoint: &Endpoint) -> Result<Vec<ServerAddr>, Failure> {
    let found = lookup_host((endpoint.host.as_str(), endpoint.port)).await?;
    let addr = |address| ServerAddr {
        endpoint: endpoint.clone(),
        socket: address,
    };
    Ok(found.map(addr).collect())
}

/// Deadlines are the callers' own, so redis-rs gets none.
fn config(address: SocketAddr) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(SEND_BUFFER)
        .set_dns_resolver(Only(address))
}

fn tcp() -> TcpSettings {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(3);
    TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(keepalive)
        .set_user_timeout(UNACKNOWLEDGED)
}

/// Read for each connection, so that files may be replaced while the service runs.
fn certificates(tls: &Tls) -> Result<TlsCertificates, Failure> {
    let read = |path: &Path| {
        let because = |error| Failure::from(Class::Tls).because(error);
        fs::read(path).map_err(because)
    };
    let ours = tls.cert.as_deref().zip(tls.key.as_deref());
    let ours = ours.map(|(cert, key)| -> Result<_, Failure> {
        Ok(ClientTlsConfig {
            client_cert: read(cert)?,
            client_key: read(key)?,
        })
    });
    Ok(TlsCertificates {
        client_tls: ours.transpose()?,
        root_cert: tls.ca.as_deref().map(read).transpose()?,
    })
}

/// Resolves every name to the one address that is tried.
struct Only(SocketAddr);

impl AsyncDNSResolver for Only {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        _host: &'b str,
        _port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        let only: Box<dyn Iterator<Item = SocketAddr> + Send> = Box::new(std::iter::once(self.0));
        Box::pin(async { Ok(only) })
    }
}
