//! Which server has a key, and on which of its connections a command goes.
//!
//! Reads are repeated once if their connection broke under them; what changes something never is.
//! With replicas to wait for, changes have a connection of their own: `WAIT` holds up everything
//! behind it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Cmd, FromRedisValue};
use tokio::time::Instant;

use super::conn::Conn;
use super::dial::Dialer;
use super::error::is_broken_connection;
use super::layout::Layout;
use super::link::{Doubts, Link, Patience};
use super::url::{self, RedisUrl};
use crate::session::StoreError;

/// No attempt at a connection takes longer, so that one which began just before the server came
/// back does not delay the next by much.
const LONGEST_DIAL: Duration = Duration::from_millis(800);

/// Everything that holds keys of ours.
pub(super) struct Servers {
    server: Server,
    wait_replicas: usize,
}

/// One server that holds keys.
pub(super) struct Server {
    reads: Link,
    writes: Option<Link>,
    fence: String,
}

impl Servers {
    /// Starts to connect; returns at once.
    pub(super) fn open(
        url: &RedisUrl,
        layout: &Layout,
        wait_replicas: usize,
        timeout: Duration,
    ) -> Self {
        let limit = timeout.min(LONGEST_DIAL);
        let dialer = match &url.servers {
            url::Servers::One(endpoint) => Dialer::to_server(url, endpoint.clone(), limit),
            url::Servers::Sentinel { sentinels, master } => {
                Dialer::to_master(url, sentinels.clone(), master.clone(), limit)
            }
            url::Servers::Cluster(_) => todo!(),
        };
        Self {
            server: Server::open(dialer, layout.fence(0), wait_replicas, timeout),
            wait_replicas,
        }
    }

    fn holding(&self, _key: &str) -> &Server {
        &self.server
    }

    /// Asks the server that holds `key`.
    pub(super) async fn read<T: FromRedisValue>(
        &self,
        key: &str,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<T, StoreError> {
        let reads = &self.holding(key).reads;
        let first = reads.conn(deadline).await?.send(command, deadline).await;
        match first {
            Err(error) if is_broken_connection(&error) => {
                reads.conn(deadline).await?.send(command, deadline).await
            }
            answer => answer,
        }
    }

    /// Sends the server that holds `key` something that it may miss.
    pub(super) async fn hint(&self, key: &str, command: Cmd, deadline: Instant) {
        if let Ok(conn) = self.holding(key).reads.conn(deadline).await {
            conn.hint(command);
        }
    }

    /// Begins a change.
    pub(super) fn change(&self, deadline: Instant) -> Change<'_> {
        Change {
            servers: self,
            deadline,
            written: Mutex::default(),
        }
    }

    /// Whether the servers answer; gives back why to doubt what they promise, if there is cause.
    pub(super) async fn ping(&self, deadline: Instant) -> Result<Option<String>, StoreError> {
        let ping = redis::cmd("PING");
        let server = &self.server;
        let conn = server.reads.conn(deadline).await?;
        let _: redis::Value = conn.send(&ping, deadline).await?;
        if let Some(writes) = &server.writes {
            writes.conn(deadline).await?;
        }
        Ok(conn.doubt.clone())
    }
}

impl Server {
    fn open(dialer: Dialer, fence: String, wait_replicas: usize, timeout: Duration) -> Self {
        let dialer = Arc::new(dialer);
        let patience = Patience {
            redial: (timeout / 4).min(Duration::from_millis(250)),
            probe: (timeout / 4).min(Duration::from_millis(300)),
        };
        let reads = Link::open(Arc::clone(&dialer), patience, Doubts::Warned);
        let writes = (wait_replicas > 0).then(|| {
            // A probe may have to wait behind a `WAIT`, which takes up to a call's time.
            let patience = Patience {
                probe: timeout + patience.probe,
                ..patience
            };
            Link::open(dialer, patience, Doubts::Silent)
        });
        Self {
            reads,
            writes,
            fence,
        }
    }

    fn for_changes(&self) -> &Link {
        self.writes.as_ref().unwrap_or(&self.reads)
    }
}

/// Some writes, and one confirmation of them all by the replicas.
pub(super) struct Change<'a> {
    servers: &'a Servers,
    deadline: Instant,
    written: Mutex<Vec<(Arc<Conn>, &'a Server)>>,
}

impl Change<'_> {
    /// Has the server that holds `key` do this. It was done, wholly or not at all, whatever comes
    /// back; it is never sent twice.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        key: &str,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        let server = self.servers.holding(key);
        let conn = server.for_changes().conn(self.deadline).await?;
        self.remember(&conn, server);
        conn.send(command, self.deadline).await
    }

    /// Waits for the replicas, if there are any to wait for: on the very connections that wrote.
    pub(super) async fn confirmed(self) -> Result<(), StoreError> {
        let replicas = self.servers.wait_replicas;
        if replicas == 0 {
            return Ok(());
        }
        let written = self.written.into_inner();
        let confirming = written
            .iter()
            .map(|(conn, server)| conn.confirm(replicas, &server.fence, self.deadline));
        futures_util::future::try_join_all(confirming).await?;
        Ok(())
    }
}

impl<'a> Change<'a> {
    fn remember(&self, conn: &Arc<Conn>, server: &'a Server) {
        let mut written = self.written.lock();
        if !written.iter().any(|(known, _)| Arc::ptr_eq(known, conn)) {
            written.push((Arc::clone(conn), server));
        }
    }
}
