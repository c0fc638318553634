//! The map of a cluster: which master has which slots, learnt from any node and kept up to date.
//!
//! One task asks for the map: at start, and whenever a node sends a caller elsewhere, refuses, or
//! cannot be reached. Callers use the map there is; like those of `link`, they wait a moment for
//! the first one, or for a new one after a redirection, and never longer.
//!
//! redis-rs has a cluster client; it is not used, because its callers wait out its reconnects and
//! its `WAIT` would not be on the connection that wrote. What is needed of one is this file.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{RedisError, Value};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout_at};

use super::dial::Dialer;
use super::error::{store_error, unavailable};
use super::layout::Layout;
use super::servers::{Opening, Place};
use super::slot::{SLOTS, slot};
use super::url::Endpoint;
use crate::session::StoreError;

/// The least time between two questions for the map.
const PAUSE: Duration = Duration::from_millis(200);

/// The way to a cluster.
pub(super) struct Cluster {
    map: watch::Receiver<State>,
    doubted: Arc<Doubted>,
    patience: Duration,
    keeper: AbortHandle,
}

#[derive(Clone)]
enum State {
    Learning,
    Known(Arc<Map>),
    /// It could not be learnt yet; the word says why.
    Unknown(&'static str),
}

/// Who has which slots.
pub(super) struct Map {
    places: HashMap<Endpoint, Place>,
    /// The last slot of each range, its first, and whose it is; in order.
    ranges: Vec<Range>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    first: u16,
    last: u16,
    master: Endpoint,
}

/// That the map is wrong, and who perhaps knows better.
#[derive(Default)]
struct Doubted {
    now: Notify,
    ask_first: Mutex<Option<Endpoint>>,
}

impl Cluster {
    /// Starts to learn the map; returns at once.
    pub(super) fn open(seeds: Vec<Endpoint>, layout: &Layout, opening: Opening) -> Self {
        let (report, map) = watch::channel(State::Learning);
        let doubted = Arc::<Doubted>::default();
        let patience = opening.patience();
        let fences = (0..SLOTS).map(|number| layout.fence(number)).collect();
        let keeper = tokio::spawn(keep_current(
            Learner {
                seeds,
                fences,
                opening,
            },
            Arc::clone(&doubted),
            report,
        ));
        Self {
            map,
            doubted,
            patience,
            keeper: keeper.abort_handle(),
        }
    }

    /// The map, if there is one or is about to be.
    pub(super) async fn map(&self, deadline: Instant) -> Result<Arc<Map>, StoreError> {
        let mut state = self.map.clone();
        let until = deadline.min(Instant::now() + self.patience);
        let known = state.wait_for(|state| !matches!(state, State::Learning));
        let Ok(Ok(state)) = timeout_at(until, known).await else {
            return Err(unavailable("connecting"));
        };
        match &*state {
            State::Known(map) => Ok(Arc::clone(map)),
            State::Unknown(class) => Err(unavailable(class)),
            State::Learning => Err(unavailable("connecting")),
        }
    }

    /// Waits a moment for another map than this one.
    pub(super) async fn map_after(
        &self,
        old: &Arc<Map>,
        deadline: Instant,
    ) -> Result<Arc<Map>, StoreError> {
        let mut state = self.map.clone();
        let until = deadline.min(Instant::now() + self.patience + PAUSE);
        let newer = |state: &State| !matches!(state, State::Known(map) if Arc::ptr_eq(map, old));
        // Without one, the old is as good as any.
        let _: Result<_, _> = timeout_at(until, state.wait_for(newer)).await.map(drop);
        self.map(deadline).await
    }

    /// Has the map looked at again, because a call was refused or not answered.
    pub(super) fn doubt(&self, error: &StoreError) {
        *self.doubted.ask_first.lock() = redirection(error).map(|redirected| redirected.to);
        self.doubted.now.notify_one();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Map {
    /// Where `key` is.
    pub(super) fn place_of(&self, key: &str) -> Result<&Place, StoreError> {
        let slot = slot(key);
        let after = self.ranges.partition_point(|range| range.last < slot);
        let range = self.ranges.get(after).filter(|range| range.first <= slot);
        range
            .and_then(|range| self.places.get(&range.master))
            .ok_or(unavailable("clusterdown"))
    }

    /// The place of this node, if it has any slots.
    pub(super) fn place_at(&self, node: &Endpoint) -> Option<&Place> {
        self.places.get(node)
    }

    /// All the places.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.places.values()
    }
}

/// Where a node says that a key is.
pub(super) struct Redirection {
    pub(super) to: Endpoint,
    /// For this once, while the slot moves; or for good.
    pub(super) once: bool,
}

/// Whether this error is a node's word that the key is elsewhere: then it has done nothing.
pub(super) fn redirection(error: &StoreError) -> Option<Redirection> {
    let cause: &RedisError = std::error::Error::source(error)?.downcast_ref()?;
    let (address, _) = cause.redirect_node()?;
    let (host, port) = address.rsplit_once(':')?;
    Some(Redirection {
        to: Endpoint {
            host: host.to_owned(),
            port: port.parse().ok()?,
        },
        once: cause.code() == Some("ASK"),
    })
}

/// What the keeper knows.
struct Learner {
    seeds: Vec<Endpoint>,
    /// Names for fences, one of which lies with each master.
    fences: Vec<String>,
    opening: Opening,
}

async fn keep_current(learner: Learner, doubted: Arc<Doubted>, report: watch::Sender<State>) {
    let mut last_failure = "";
    loop {
        let known = match &*report.borrow() {
            State::Known(map) => Some(Arc::clone(map)),
            _ => None,
        };
        let first = doubted.ask_first.lock().take();
        match learner.learn(first, known.as_deref()).await {
            Ok(map) => {
                last_failure = "";
                let same = known.is_some_and(|known| known.ranges == map.ranges);
                if !same {
                    tracing::info!(masters = map.places.len(), "learnt the cluster's map");
                    report.send_replace(State::Known(Arc::new(map)));
                }
                sleep(PAUSE).await;
                doubted.now.notified().await;
            }
            Err(error) => {
                if last_failure != error.class() {
                    last_failure = error.class();
                    tracing::warn!(class = last_failure, "cannot learn the cluster's map");
                }
                if known.is_none() {
                    report.send_replace(State::Unknown(error.class()));
                }
                sleep(PAUSE).await;
            }
        }
    }
}

impl Learner {
    /// Asks one node after the other until one knows: who was named last, the masters, the seeds.
    async fn learn(&self, first: Option<Endpoint>, known: Option<&Map>) -> Result<Map, StoreError> {
        let masters = known.into_iter().flat_map(|map| map.places.keys());
        let mut last = unavailable("clusterdown");
        for node in first.iter().chain(masters).chain(&self.seeds) {
            match self.ask(node).await {
                Ok(ranges) if ranges.is_empty() => {}
                Ok(ranges) => return Ok(self.map(ranges, known)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn ask(&self, node: &Endpoint) -> Result<Vec<Range>, StoreError> {
        let dialer: Dialer = self.opening.dialer(node.clone());
        let mut slots = redis::cmd("CLUSTER");
        slots.arg("SLOTS");
        let answer: Vec<Value> = dialer.ask(node, &slots).await?;
        let mut ranges = Vec::new();
        for range in answer {
            ranges.push(read_range(range, node)?);
        }
        ranges.sort_by_key(|range| range.last);
        Ok(ranges)
    }

    /// Makes the map, with the connections of the old one where a master stays.
    fn map(&self, ranges: Vec<Range>, known: Option<&Map>) -> Map {
        let mut places: HashMap<Endpoint, Place> = HashMap::new();
        for Range { master, .. } in &ranges {
            if places.contains_key(master) {
                continue;
            }
            let lies_here = |fence: &&String| {
                let slot = slot(fence);
                let mut own = ranges.iter().filter(|range| range.master == *master);
                own.any(|range| (range.first..=range.last).contains(&slot))
            };
            let fence = self.fences.iter().find(lies_here);
            let server = known
                .and_then(|map| map.places.get(master))
                .map_or_else(|| self.opening.server(master.clone()), Place::server);
            let fence = fence.map_or("", String::as_str).into();
            places.insert(master.clone(), Place::new(server, fence));
        }
        Map { places, ranges }
    }
}

/// One entry of `CLUSTER SLOTS`: first slot, last slot, and the master's address and port before
/// its replicas'. A node that does not know its own address leaves it out.
fn read_range(entry: Value, asked: &Endpoint) -> Result<Range, StoreError> {
    type Entry = (u16, u16, Vec<Value>);
    let mut fields: Vec<Value> = redis::from_redis_value(entry).map_err(parse_error)?;
    fields.truncate(3);
    let (first, last, master): Entry =
        redis::from_redis_value(Value::Array(fields)).map_err(parse_error)?;
    let mut master = master.into_iter();
    let mut next = || master.next().unwrap_or(Value::Nil);
    let host: Option<String> = redis::from_redis_value(next()).map_err(parse_error)?;
    let port = redis::from_redis_value(next()).map_err(parse_error)?;
    let host = host.filter(|host| !host.is_empty() && host != "?");
    let host = host.unwrap_or_else(|| asked.host.clone());
    let master = Endpoint { host, port };
    Ok(Range {
        first,
        last,
        master,
    })
}

fn parse_error(error: redis::ParsingError) -> StoreError {
    store_error(error.into())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_and_an_address_left_out_is_that_of_the_node_asked() {
        let asked = Endpoint {
            host: "seed".to_owned(),
            port: 1,
        };
        let entry = |host: Value| {
            let node = |host| Value::Array(vec![host, Value::Int(7000), Value::Nil]);
            let replica = node(Value::BulkString(b"replica".to_vec()));
            let (first, last) = (Value::Int(5), Value::Int(9));
            Value::Array(vec![first, last, node(host), replica])
        };
        let range = read_range(entry(Value::BulkString(b"10.0.0.1".to_vec())), &asked).unwrap();
        assert_eq!((range.first, range.last), (5, 9));
        assert_eq!(range.master.to_string(), "10.0.0.1:7000");
        for missing in [Value::Nil, Value::BulkString(Vec::new())] {
            let range = read_range(entry(missing), &asked).unwrap();
            assert_eq!(range.master.to_string(), "seed:7000");
        }
        assert!(read_range(Value::Int(1), &asked).is_err());
    }
}
