//! A cluster: three masters that share the slots, keys that move, and a master that is lost.

use std::fmt::Display;
use std::iter;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use neptun_auth::session::SessionStore as _;
use neptun_auth::store::{RedisConfig, RedisStore};

use super::server::{Brand, Server};
use super::{config, fresh_session, in_time, kept, present, until_ready, user};
use crate::support::ports::{free_address, free_port};
use crate::support::relay::Relay;
use crate::support::wait_within;

/// How soon a store has found a shard that moved.
pub(super) const FOUND: Duration = Duration::from_secs(6);

/// How long the nodes may take to agree on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const RANGES: [&str; 3] = ["0 5000", "5001 10000", "10001 16383"];

pub(crate) struct Cluster {
    pub(super) masters: Vec<Server>,
    /// None, or one for each master.
    pub(super) replicas: Vec<Server>,
    /// What each node, masters first, hears from the others comes this way, if a test wants it to.
    bus: Vec<Relay>,
}

impl Cluster {
    /// Three masters that have all the slots.
    pub(crate) fn of_masters() -> Self {
        Self::of_masters_with(&[])
    }

    /// The same with these settings.
    pub(super) fn of_masters_with(settings: &[&str]) -> Self {
        let mut node = || start_node(free_port(), settings);
        Self::form(iter::repeat_with(&mut node).take(3).collect(), Vec::new())
    }

    /// Three masters, each with a replica.
    pub(super) fn with_replicas() -> Self {
        let mut node = || start_node(free_port(), &[]);
        Self::form(iter::repeat_with(&mut node).take(6).collect(), Vec::new())
    }

    /// The same with nodes that can be cut off from each other.
    pub(super) fn with_relays() -> Self {
        let (mut nodes, mut bus) = (Vec::new(), Vec::new());
        for number in 0..6 {
            let (port, heard_at) = (free_port(), free_address());
            let announced = heard_at.port().to_string();
            let source = source_of(number).to_string();
            let settings = [
                ["--cluster-announce-bus-port", &announced],
                ["--bind-source-addr", &source],
                // For a node, every loopback address but the first is a stranger.
                ["--protected-mode", "no"],
                // A busy machine alone shall make nobody take a master for lost.
                ["--cluster-node-timeout", "2000"],
            ];
            bus.push(Relay::at(heard_at, ([127, 0, 0, 1], port + 10_000).into()));
            nodes.push(start_node(port, settings.as_flattened()));
        }
        Self::form(nodes, bus)
    }

    /// Makes a cluster of three nodes, or of six.
    fn form(mut nodes: Vec<Server>, bus: Vec<Relay>) -> Self {
        let count = format!("cluster_known_nodes:{}\r", nodes.len());
        for (master, range) in nodes.iter().zip(RANGES) {
            master.done(&format!("CLUSTER ADDSLOTSRANGE {range}"));
        }
        for (number, other) in nodes.iter().enumerate().skip(1) {
            let heard_at = bus.get(number).map(|relay| relay.address.port());
            let heard_at = heard_at.unwrap_or(other.port() + 10_000);
            nodes[0].done(&format!(
                "CLUSTER MEET 127.0.0.1 {} {heard_at}",
                other.port()
            ));
        }
        wait_within(PATIENCE, "the nodes know each other", || {
            nodes.iter().all(|node| {
                let state = node.ask("CLUSTER INFO").unwrap_or_default();
                state.contains("cluster_state:ok") && state.contains(&count)
            })
        });
        let replicas = nodes.split_off(RANGES.len());
        for (replica, master) in replicas.iter().zip(&nodes) {
            replica.done(&format!("CLUSTER REPLICATE {}", id(master)));
        }
        for master in nodes.iter().take(replicas.len()) {
            wait_within(PATIENCE, "the replicas follow", || {
                master.says("replication", "state=online")
            });
        }
        Self {
            masters: nodes,
            replicas,
            bus,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+cluster://{}", self.masters[0].address())
    }

    /// The address of all nodes, beginning with this one, masters first.
    pub(super) fn url_from(&self, first: usize) -> String {
        let nodes = self.masters.iter().chain(&self.replicas);
        let mut addresses: Vec<String> = nodes.map(|node| node.address().to_string()).collect();
        addresses.rotate_left(first);
        format!("redis+cluster://{}", addresses.join(","))
    }

    /// Cuts a master off from all other nodes; clients still reach it.
    pub(super) fn isolate(&self, master: usize) {
        self.bus[master].cut();
        for relay in &self.bus {
            relay.cut_off(source_of(master));
        }
    }

    /// Waits until the replica of this master has its place, as the others see it.
    pub(super) fn until_replaced(&self, master: usize) {
        wait_within(PATIENCE, "the replica has taken over", || {
            let others = (0..3).filter(|other| *other != master);
            let heir = &self.replicas[master];
            let agrees = |node: &Server| {
                let state = node.ask("CLUSTER INFO").unwrap_or_default();
                state.contains("cluster_state:ok")
            };
            heir.says("replication", "role:master")
                && agrees(heir)
                && others.into_iter().all(|other| {
                    let slots = self.masters[other].ask("CLUSTER SLOTS").unwrap_or_default();
                    agrees(&self.masters[other]) && slots.contains(&id(heir))
                })
        });
    }

    /// Begins to move the slot of this session, whose record goes first; where to.
    pub(super) fn begin_to_move(&self, session: impl Display) -> &Server {
        let key = format!("neptun-auth:s:{session}");
        let (home, slot) = self.home_of(session);
        let (from, to) = (&self.masters[home], &self.masters[(home + 1) % 3]);
        to.done(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", id(from)));
        from.done(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(to)));
        from.done(&format!("MIGRATE 127.0.0.1 {} {key} 0 2000", to.port()));
        to
    }

    /// Tells all masters that the slot has moved, those first that it concerns.
    pub(super) fn end_move(&self, slot: &str, to: &Server) {
        let others = self
            .masters
            .iter()
            .filter(|master| master.port() != to.port());
        for master in std::iter::once(to).chain(others) {
            master.done(&format!("CLUSTER SETSLOT {slot} NODE {}", id(to)));
        }
    }

    /// The master that has this session by the first map, and its slot.
    pub(super) fn home_of(&self, session: impl Display) -> (usize, String) {
        let ask = format!("CLUSTER KEYSLOT neptun-auth:s:{session}");
        let slot = self.masters.iter().find_map(|node| node.ask(&ask).ok());
        let slot = slot.unwrap();
        let slot = slot.trim_start_matches(':').trim().to_owned();
        let number: u32 = slot.parse().unwrap();
        let ends = [5000, 10_000, 16_383];
        let home = ends.iter().position(|end| number <= *end).unwrap();
        (home, slot)
    }
}

/// From where a node speaks to others, so that a relay can tell who it is.
fn source_of(number: usize) -> IpAddr {
    let last = u8::try_from(number + 1).unwrap();
    [127, 0, 1, last].into()
}

fn start_node(port: u16, settings: &[&str]) -> Server {
    let cluster = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
    let all = cluster.iter().chain(settings).map(|&one| one.to_owned());
    Server::start_on(port, Brand::Redis, |_, _| all.collect())
}

pub(super) fn id(node: &Server) -> String {
    let answer = node.ask("CLUSTER MYID").unwrap();
    answer.lines().nth(1).unwrap().to_owned()
}

async fn store_in(cluster: &Cluster, wait_replicas: usize) -> Arc<RedisStore> {
    let store = RedisStore::open(RedisConfig {
        wait_replicas,
        ..config(&cluster.url())
    });
    until_ready(&store).await;
    Arc::new(store)
}

#[tokio::test]
async fn a_session_is_found_and_ended_while_its_slot_moves_and_after() {
    let cluster = Cluster::of_masters();
    let store = store_in(&cluster, 0).await;
    let (one, other) = (kept(&store, "anna").await, kept(&store, "anna").await);
    for session in [&one, &other] {
        let to = cluster.begin_to_move(session.id);
        let found = in_time(store.find(&session.id, present())).await.unwrap();
        assert_eq!(found.as_ref(), Some(session));
        if *session == one {
            let ended = in_time(store.delete(&one.id, present())).await.unwrap();
            assert!(ended.is_some());
        }
        cluster.end_move(&cluster.home_of(session.id).1, to);
    }
    assert_eq!(store.find(&one.id, present()).await.unwrap(), None);
    let ended = in_time(store.delete_all(&user("anna"), present(), None)).await;
    assert_eq!(ended.unwrap(), [other]);
}

#[tokio::test]
async fn a_master_that_is_lost_takes_only_its_own_sessions_along_and_its_replica_brings_them_back()
{
    let mut cluster = Cluster::with_replicas();
    let store = store_in(&cluster, 1).await;
    let mut sessions = Vec::new();
    for number in 0..30 {
        let session = fresh_session(&format!("user {number}"));
        store.insert(session.clone(), present()).await.unwrap();
        sessions.push(session);
    }
    let (lost, _) = cluster.home_of(sessions[0].id);
    cluster.masters[lost].kill();
    for session in &sessions {
        let found = in_time(store.find(&session.id, present())).await;
        let (home, _) = cluster.home_of(session.id);
        assert_eq!(found.is_err(), home == lost, "{found:?}");
    }
    cluster.until_replaced(lost);
    let replaced = Instant::now();
    for session in &sessions {
        let found = loop {
            match in_time(store.find(&session.id, present())).await {
                Ok(found) => break found,
                Err(error) => assert!(replaced.elapsed() < FOUND, "not found in time: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert_eq!(found.as_ref(), Some(session));
    }
}

#[tokio::test]
async fn a_server_of_a_cluster_that_is_taken_for_the_only_one_has_a_word_of_its_own() {
    let cluster = Cluster::of_masters();
    let url = format!("redis://{}", cluster.masters[0].address());
    let store = RedisStore::open(config(&url));
    until_ready(&store).await;
    let mut classes = Vec::new();
    for _ in 0..20 {
        let found = store.find(&fresh_session("anna").id, present()).await;
        classes.extend(found.err().map(|error| error.class()));
    }
    assert!(!classes.is_empty() && classes.iter().all(|class| *class == "moved"));
}

#[tokio::test]
async fn a_cluster_that_cannot_be_reached_fails_every_call_at_once() {
    let store = RedisStore::open(config("redis+cluster://127.0.0.1:1,127.0.0.1:2"));
    super::until_failing_fast(&store, "io").await;
    assert!(in_time(store.ready()).await.is_err());
}
