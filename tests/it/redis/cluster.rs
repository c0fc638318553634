//! A cluster: three masters that share the slots, keys that move, and a master that is lost.

use std::sync::Arc;
use std::time::Duration;

use neptun_auth::session::{Session, SessionStore as _};
use neptun_auth::store::{RedisConfig, RedisStore};

use super::server::{Brand, Server, eventually};
use super::{config, fresh_session, in_time, kept, present, until_ready, user};

const RANGES: [&str; 3] = ["0 5000", "5001 10000", "10001 16383"];

/// How soon a shard that has moved is found.
const FOUND: Duration = Duration::from_secs(6);

pub(crate) struct Cluster {
    masters: Vec<Server>,
    replicas: Vec<Server>,
}

impl Cluster {
    /// Three masters that have all the slots.
    pub(crate) fn of_masters() -> Self {
        Self::of(false)
    }

    fn of(with_replicas: bool) -> Self {
        let node = || {
            Server::start(
                Brand::Redis,
                &["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"],
            )
        };
        let three = || RANGES.iter().map(|_| node()).collect::<Vec<_>>();
        let masters = three();
        let replicas = if with_replicas { three() } else { Vec::new() };
        for (master, range) in masters.iter().zip(RANGES) {
            done(master, &format!("CLUSTER ADDSLOTSRANGE {range}"));
        }
        let first = &masters[0];
        for other in masters[1..].iter().chain(&replicas) {
            done(first, &format!("CLUSTER MEET 127.0.0.1 {}", other.port()));
        }
        let nodes = masters.len() + replicas.len();
        let all_know = |count: String| {
            let every = masters.iter().chain(&replicas);
            every.into_iter().all(|node| {
                let state = node.ask("CLUSTER INFO").unwrap_or_default();
                state.contains("cluster_state:ok") && state.contains(&count)
            })
        };
        let patience = Duration::from_secs(30);
        eventually("the nodes know each other", patience, || {
            all_know(format!("cluster_known_nodes:{nodes}\r"))
        });
        for (replica, master) in replicas.iter().zip(&masters) {
            done(replica, &format!("CLUSTER REPLICATE {}", id(master)));
        }
        for master in masters.iter().take(replicas.len()) {
            eventually("the replicas follow", patience, || {
                let state = master.ask("INFO replication").unwrap_or_default();
                state.contains("state=online")
            });
        }
        Self { masters, replicas }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+cluster://{}", self.masters[0].address())
    }

    /// The master that has this session, and its slot.
    fn home_of(&self, session: &Session) -> (usize, String) {
        let ask = format!("CLUSTER KEYSLOT neptun-auth:s:{}", session.id);
        let slot = self.masters.iter().find_map(|node| node.ask(&ask).ok());
        let slot = slot.unwrap();
        let slot = slot.trim_start_matches(':').trim().to_owned();
        let number: u32 = slot.parse().unwrap();
        let ends = [5000, 10_000, 16_383];
        let home = ends.iter().position(|end| number <= *end).unwrap();
        (home, slot)
    }
}

fn done(server: &Server, command: &str) {
    let answer = server.ask(command).unwrap();
    assert!(answer.starts_with("+OK"), "{command}: {answer}");
}

fn id(node: &Server) -> String {
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
        let (home, slot) = cluster.home_of(session);
        let (from, to) = (&cluster.masters[home], &cluster.masters[(home + 1) % 3]);
        done(
            to,
            &format!("CLUSTER SETSLOT {slot} IMPORTING {}", id(from)),
        );
        done(
            from,
            &format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(to)),
        );
        let key = format!("neptun-auth:s:{}", session.id);
        done(
            from,
            &format!("MIGRATE 127.0.0.1 {} {key} 0 2000", to.port()),
        );
        let found = in_time(store.find(&session.id, present())).await.unwrap();
        assert_eq!(found.as_ref(), Some(session));
        if *session == one {
            let ended = in_time(store.delete(&one.id, present())).await.unwrap();
            assert!(ended.is_some());
        }
        for master in [to, from, &cluster.masters[(home + 2) % 3]] {
            done(master, &format!("CLUSTER SETSLOT {slot} NODE {}", id(to)));
        }
    }
    assert_eq!(store.find(&one.id, present()).await.unwrap(), None);
    let ended = in_time(store.delete_all(&user("anna"), present(), None)).await;
    assert_eq!(ended.unwrap(), [other]);
}

#[tokio::test]
async fn a_master_that_is_lost_takes_only_its_own_sessions_along_and_its_replica_brings_them_back()
{
    let mut cluster = Cluster::of(true);
    let store = store_in(&cluster, 1).await;
    let mut sessions = Vec::new();
    for number in 0..30 {
        let session = fresh_session(&format!("user {number}"));
        store.insert(session.clone(), present()).await.unwrap();
        sessions.push(session);
    }
    let (lost, _) = cluster.home_of(&sessions[0]);
    cluster.masters[lost].kill();
    for session in &sessions {
        let found = in_time(store.find(&session.id, present())).await;
        let (home, _) = cluster.home_of(session);
        assert_eq!(found.is_err(), home == lost, "{found:?}");
    }
    eventually(
        "the replica has taken over",
        Duration::from_secs(30),
        || {
            let role = cluster.replicas[lost].ask("INFO replication");
            let state = cluster.replicas[lost].ask("CLUSTER INFO").unwrap();
            role.unwrap().contains("role:master") && state.contains("cluster_state:ok")
        },
    );
    let replaced = std::time::Instant::now();
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
