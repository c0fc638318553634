//! Which server has a key, and on which of its connections a command goes.
//!
//! Reads are repeated once if their connection broke under them. What changes something is sent
//! again only when a cluster's node says that it did nothing and another has the key. With
//! replicas to wait for, changes have a connection of their own: `WAIT` holds up what is behind it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Cmd, FromRedisValue};
use tokio::time::Instant;

use super::cluster::{Cluster, Map, redirection};
use super::conn::Conn;
use super::dial::Dialer;
use super::error::is_broken_connection;
use super::layout::Layout;
use super::link::{Doubts, Link, Patience};
use super::tls::Secure;
use super::url::{self, Endpoint, RedisUrl};
use crate::session::{Ended, StoreError};

/// No attempt at a connection takes longer, so that one which began just before the server came
/// back does not delay the next by much.
const LONGEST_DIAL: Duration = Duration::from_millis(800);

/// Everything that holds keys of ours.
pub(super) struct Servers {
    arrangement: Arrangement,
    wait_replicas: usize,
}

enum Arrangement {
    One(Place),
    Cluster(Cluster),
}

/// One server that holds keys.
pub(super) struct Server {
    reads: Link,
    writes: Option<Link>,
}

/// A server, and the fence of ours that lies on it.
#[derive(Clone)]
pub(super) struct Place {
    server: Arc<Server>,
    fence: Arc<str>,
}

/// How servers are connected to, alike for all of a store.
pub(super) struct Opening {
    url: RedisUrl,
    secure: Arc<Secure>,
    wait_replicas: usize,
    timeout: Duration,
}

impl Opening {
    fn limit(&self) -> Duration {
        self.timeout.min(LONGEST_DIAL)
    }

    /// How long a caller waits for what is being connected to for the first time.
    pub(super) fn patience(&self) -> Duration {
        (self.timeout / 4).min(Duration::from_millis(250))
    }

    pub(super) fn dialer(&self, endpoint: Endpoint) -> Dialer {
        let secure = Arc::clone(&self.secure);
        Dialer::to_server(&self.url, endpoint, secure, self.limit())
    }

    /// Starts to connect to the server at this address.
    pub(super) fn server(&self, endpoint: Endpoint) -> Arc<Server> {
        self.server_through(self.dialer(endpoint))
    }

    fn server_through(&self, dialer: Dialer) -> Arc<Server> {
        let dialer = Arc::new(dialer);
        let patience = Patience {
            redial: self.patience(),
            probe: self.patience(),
        };
        let reads = Link::open(Arc::clone(&dialer), patience, Doubts::Warned);
        let writes = (self.wait_replicas > 0).then(|| {
            // A probe may have to wait behind a `WAIT`, which takes up to a call's time.
            let patience = Patience {
                probe: self.timeout + patience.probe,
                ..patience
            };
            Link::open(dialer, patience, Doubts::Silent)
        });
        Arc::new(Server { reads, writes })
    }
}

impl Place {
    pub(super) const fn new(server: Arc<Server>, fence: Arc<str>) -> Self {
        Self { server, fence }
    }

    pub(super) fn server(&self) -> Arc<Server> {
        Arc::clone(&self.server)
    }
}

impl Servers {
    /// Starts to connect; returns at once.
    pub(super) fn open(
        url: RedisUrl,
        layout: &Layout,
        wait_replicas: usize,
        timeout: Duration,
    ) -> Self {
        let servers = url.servers.clone();
        let opening = Opening {
            secure: Arc::new(Secure::new(url.tls.clone())),
            url,
            wait_replicas,
            timeout,
        };
        let one = |dialer| {
            let server = opening.server_through(dialer);
            Arrangement::One(Place::new(server, layout.fence(0).into()))
        };
        let arrangement = match servers {
            url::Servers::One(endpoint) => one(opening.dialer(endpoint)),
            url::Servers::Sentinel { sentinels, master } => {
                let (secure, limit) = (Arc::clone(&opening.secure), opening.limit());
                let dialer = Dialer::to_master(&opening.url, sentinels, master, secure, limit);
                one(dialer)
            }
            url::Servers::Cluster(seeds) => {
                Arrangement::Cluster(Cluster::open(seeds, layout, opening))
            }
        };
        Self {
            arrangement,
            wait_replicas,
        }
    }

    /// Asks the server that holds `key`.
    pub(super) async fn read<T: FromRedisValue>(
        &self,
        key: &str,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<T, StoreError> {
        match self.read_once(key, command, deadline).await {
            Err(error) if is_broken_connection(&error) => {
                self.read_once(key, command, deadline).await
            }
            answer => answer,
        }
    }

    async fn read_once<T: FromRedisValue>(
        &self,
        key: &str,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<T, StoreError> {
        let (mut route, mut stop) = Route::start(self, key, deadline).await?;
        loop {
            let conn = stop.place.server.reads.conn(deadline).await;
            let answer = match conn {
                Ok(conn) => stop.send(&conn, command, deadline).await,
                Err(error) => Err(error),
            };
            match answer {
                Err(error) => stop = route.after(error).await?,
                answer => return answer,
            }
        }
    }

    /// Sends the server that holds `key` something that it may miss.
    pub(super) async fn hint(&self, key: &str, command: Cmd, deadline: Instant) {
        if let Ok((_, stop)) = Route::start(self, key, deadline).await
            && let Ok(conn) = stop.place.server.reads.conn(deadline).await
        {
            conn.hint(command);
        }
    }

    /// Begins a change.
    pub(super) fn change(&self, deadline: Instant) -> Change<'_> {
        Change {
            servers: self,
            deadline,
            written: Mutex::default(),
            ended: Mutex::default(),
        }
    }

    async fn places(&self, deadline: Instant) -> Result<Vec<Place>, StoreError> {
        Ok(match &self.arrangement {
            Arrangement::One(place) => vec![place.clone()],
            Arrangement::Cluster(cluster) => {
                cluster.map(deadline).await?.places().cloned().collect()
            }
        })
    }

    /// Whether the servers answer, all of them; gives back why to doubt what they promise, if there
    /// is cause.
    pub(super) async fn ping(&self, deadline: Instant) -> Result<Option<String>, StoreError> {
        let places = self.places(deadline).await?;
        let pings = places.iter().map(|place| place.server.ping(deadline));
        let answers = futures_util::future::try_join_all(pings).await;
        if let (Err(error), Arrangement::Cluster(cluster)) = (&answers, &self.arrangement) {
            cluster.doubt(error);
        }
        Ok(answers?.into_iter().flatten().next())
    }
}

impl Server {
    async fn ping(&self, deadline: Instant) -> Result<Option<String>, StoreError> {
        let conn = self.reads.conn(deadline).await?;
        let _: redis::Value = conn.send(&redis::cmd("PING"), deadline).await?;
        if let Some(writes) = &self.writes {
            writes.conn(deadline).await?;
        }
        Ok(conn.doubt.clone())
    }

    fn for_changes(&self) -> &Link {
        self.writes.as_ref().unwrap_or(&self.reads)
    }
}

/// The way of one command: where the key is, and if a cluster's node says that it is elsewhere,
/// there, but no further.
struct Route<'a> {
    key: &'a str,
    deadline: Instant,
    in_cluster: Option<(&'a Cluster, Arc<Map>)>,
    redirected: bool,
}

/// Where a command is to be sent.
struct Stop {
    place: Place,
    /// The key is only about to come here.
    asking: bool,
}

impl<'a> Route<'a> {
    async fn start(
        servers: &'a Servers,
        key: &'a str,
        deadline: Instant,
    ) -> Result<(Self, Stop), StoreError> {
        let mut route = Self {
            key,
            deadline,
            in_cluster: None,
            redirected: false,
        };
        let place = match &servers.arrangement {
            Arrangement::One(place) => place.clone(),
            Arrangement::Cluster(cluster) => {
                let map = cluster.map(deadline).await?;
                let place = map.place_of(key).cloned();
                route.in_cluster = Some((cluster, map));
                place.inspect_err(|error| cluster.doubt(error))?
            }
        };
        let asking = false;
        Ok((route, Stop { place, asking }))
    }

    /// Where to go after this error; the error itself if that is nowhere.
    async fn after(&mut self, error: StoreError) -> Result<Stop, StoreError> {
        let Some((cluster, map)) = &self.in_cluster else {
            return Err(error);
        };
        let once_more = redirection(&error).filter(|_| !self.redirected);
        self.redirected = true;
        let stop = match once_more {
            Some(for_now) if for_now.once => {
                let place = map.place_at(&for_now.to).cloned();
                let asking = true;
                place.map(|place| Stop { place, asking })
            }
            Some(_) => {
                cluster.doubt(&error);
                let map = cluster.map_after(map, self.deadline).await?;
                let place = map.place_of(self.key).cloned();
                let asking = false;
                place.ok().map(|place| Stop { place, asking })
            }
            None => None,
        };
        if stop.is_none() {
            cluster.doubt(&error);
        }
        stop.ok_or(error)
    }
}

impl Stop {
    async fn send<T: FromRedisValue>(
        &self,
        conn: &Conn,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<T, StoreError> {
        if self.asking {
            conn.send_asking(command, deadline).await
        } else {
            conn.send(command, deadline).await
        }
    }
}

/// Some writes, and one confirmation of them all by the replicas.
pub(super) struct Change<'a> {
    servers: &'a Servers,
    pub(super) deadline: Instant,
    written: Mutex<Vec<(Arc<Conn>, Arc<str>)>>,
    /// What these writes have ended.
    pub(super) ended: Mutex<Ended>,
}

impl Change<'_> {
    /// Has the server that holds `key` do this. After an error it may have been done, but not
    /// twice.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        key: &str,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        let (mut route, mut stop) = Route::start(self.servers, key, self.deadline).await?;
        loop {
            let conn = stop.place.server.for_changes().conn(self.deadline).await;
            let answer = match conn {
                Ok(conn) => {
                    let answer = stop.send(&conn, command, self.deadline).await;
                    // One that only said where to go has written nothing.
                    if answer.as_ref().err().and_then(redirection).is_none() {
                        self.remember(&conn, &stop.place.fence);
                    }
                    answer
                }
                Err(error) => Err(error),
            };
            match answer {
                Err(error) => stop = route.after(error).await?,
                answer => return answer,
            }
        }
    }

    fn remember(&self, conn: &Arc<Conn>, fence: &Arc<str>) {
        if self.servers.wait_replicas == 0 {
            return;
        }
        let mut written = self.written.lock();
        if !written.iter().any(|(known, _)| Arc::ptr_eq(known, conn)) {
            written.push((Arc::clone(conn), Arc::clone(fence)));
        }
    }

    /// Has the confirmation cover every server, also those that this change has nothing to do at:
    /// an earlier attempt may have done it there and not been confirmed.
    pub(super) async fn include_all(&self) -> Result<(), StoreError> {
        if self.servers.wait_replicas == 0 {
            return Ok(());
        }
        for place in self.servers.places(self.deadline).await? {
            let conn = place.server.for_changes().conn(self.deadline).await?;
            self.remember(&conn, &place.fence);
        }
        Ok(())
    }

    /// Waits for the replicas, if there are any to wait for: on the very connections that wrote.
    pub(super) async fn confirmed(&self) -> Result<(), StoreError> {
        let replicas = self.servers.wait_replicas;
        if replicas == 0 {
            return Ok(());
        }
        let written = std::mem::take(&mut *self.written.lock());
        let confirming = written
            .iter()
            .map(|(conn, fence)| conn.confirm(replicas, fence, self.deadline));
        let confirmed = futures_util::future::try_join_all(confirming).await;
        if let (Err(error), Arrangement::Cluster(cluster)) = (&confirmed, &self.servers.arrangement)
        {
            cluster.doubt(error);
        }
        confirmed.map(drop)
    }

    /// The error of a call that these writes were part of: it says what they have ended.
    pub(super) fn failed(&self, error: StoreError) -> StoreError {
        error.having_ended(std::mem::take(&mut self.ended.lock()))
    }
}
