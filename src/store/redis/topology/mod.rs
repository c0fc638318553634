//! Which server has which key, kept current by one task.
//!
//! | servers | who is in charge | looked at |
//! |---|---|---|
//! | one | the server that the name leads to, while it says that it is the master | by `node`, each half second |
//! | `sentinel` | whom the majority of the Sentinels names | each half second |
//! | `cluster` | for each slot, whose claim is the newest | each two seconds |
//!
//! And at once when a call is refused or not answered. Callers use the picture there is; they wait
//! a moment for the first one, and never longer.

mod cluster;
mod informants;
mod sentinel;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout_at};

use self::cluster::{Cluster, slot};
use self::sentinel::Sentinels;
use super::dial::Way;
use super::error::{Class, Failure, Redirection};
use super::layout::Layout;
use super::node::Node;
use super::url::{Endpoint, RedisUrl, Servers};
use crate::metrics::Metrics;

/// How many slots there are.
const SLOTS: u16 = 16384;

/// How often the servers are looked at for the metrics, and for how long at most.
const SURVEY_EVERY: Duration = Duration::from_secs(1);

/// Most nodes that are not in the map yet, and were gone to by a redirection.
const MOST_STRAYS: usize = 16;

/// All servers that hold keys of ours.
pub(super) struct Topology {
    shared: Arc<TopologyState>,
    tasks: [AbortHandle; 2],
}

/// What the topology and its tasks share.
struct TopologyState {
    way: Arc<Way>,
    is_cluster: bool,
    fence: String,
    picture: watch::Sender<Picture>,
    doubted: Arc<Notify>,
    /// Who perhaps knows better.
    ask_first: Mutex<Option<Endpoint>>,
    metrics: OnceLock<Arc<Metrics>>,
}

#[derive(Clone)]
enum Picture {
    Learning,
    Known(Arc<Map>),
    /// It could not be learnt yet; this is why.
    Unknown(Class),
}

/// Who has which slots.
#[derive(Default)]
struct Map {
    nodes: Vec<Arc<Node>>,
    /// In order.
    ranges: Vec<Range>,
    strays: Mutex<Vec<Arc<Node>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: u16,
    last: u16,
    node: usize,
}

/// How the servers are.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) serving: usize,
    pub(super) lost: usize,
    pub(super) failure: Option<Failure>,
    /// Why to doubt what they promise, if there is cause.
    pub(super) doubt: Option<String>,
    pub(super) is_unconfirmed: bool,
}

impl Topology {
    /// Starts to find the servers, and to connect; returns at once.
    pub(super) fn open(url: &RedisUrl, way: Way, layout: &Layout) -> Self {
        let (way, fence) = (Arc::new(way), layout.fence(0));
        let is_cluster = matches!(url.servers, Servers::Cluster(_));
        let shared = Arc::new(TopologyState {
            way,
            is_cluster,
            fence,
            picture: watch::Sender::new(Picture::Learning),
            doubted: Arc::default(),
            ask_first: Mutex::default(),
            metrics: OnceLock::new(),
        });
        let surveying = tokio::spawn(keep_surveying(Arc::clone(&shared)));
        let task = match url.servers.clone() {
            Servers::One(endpoint) => {
                shared.lead_to(endpoint);
                surveying.abort_handle()
            }
            Servers::Sentinel { sentinels, master } => {
                let sentinels = Sentinels::new(sentinels, master);
                tokio::spawn(sentinels.keep_current(Arc::clone(&shared))).abort_handle()
            }
            Servers::Cluster(seeds) => {
                let fences = (0..SLOTS).map(|number| layout.fence(number)).collect();
                let cluster = Cluster::new(seeds, fences);
                tokio::spawn(cluster.keep_current(Arc::clone(&shared))).abort_handle()
            }
        };
        let tasks = [task, surveying.abort_handle()];
        Self { shared, tasks }
    }

    /// From now on these tell how the servers are.
    pub(super) fn count_in(&self, metrics: Arc<Metrics>) {
        // Once.
        let _ = self.shared.metrics.set(metrics);
    }

    pub(super) fn wait_replicas(&self) -> usize {
        self.shared.way.wait_replicas
    }

    /// The server that has this key.
    pub(super) async fn route(&self, key: &str, deadline: Instant) -> Result<Arc<Node>, Failure> {
        let map = self.shared.map(deadline).await?;
        let node = map.node_of(key).map(Arc::clone);
        if node.is_none() {
            self.shared.doubted.notify_one();
        }
        Ok(node.ok_or(Class::ClusterDown)?)
    }

    /// All servers.
    pub(super) async fn nodes(&self, deadline: Instant) -> Result<Vec<Arc<Node>>, Failure> {
        Ok(self.shared.map(deadline).await?.nodes.clone())
    }

    /// The server that another one, which was asked, says has the key.
    pub(super) async fn redirected(
        &self,
        redirection: &Redirection,
        from: &Node,
        deadline: Instant,
    ) -> Option<Arc<Node>> {
        if !self.shared.is_cluster {
            return None;
        }
        let mut to = redirection.to.clone();
        if to.host.is_empty() {
            to.host.clone_from(&from.endpoint().host);
        }
        if !redirection.once {
            *self.shared.ask_first.lock() = Some(to.clone());
            self.shared.doubted.notify_one();
        }
        let map = self.shared.map(deadline).await.ok()?;
        Some(
            map.node_at(&to)
                .unwrap_or_else(|| map.stray(&self.shared, to)),
        )
    }

    /// A server has refused or not answered: it is left if it says so, and the topology looked at.
    pub(super) fn noticed(&self, failure: &Failure, node: &Node) {
        match failure.class {
            Class::ReadOnly | Class::MasterDown => node.part(Class::Demoted),
            class if class.ends_connection() => node.part(class),
            _ => {}
        }
        if failure.class.doubts_topology() {
            self.shared.doubted.notify_one();
        }
    }

    /// Looks at all servers.
    pub(super) async fn survey(&self, deadline: Instant) -> Survey {
        self.shared.survey(deadline).await
    }
}

impl Drop for Topology {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl TopologyState {
    fn known(&self) -> Option<Arc<Map>> {
        match &*self.picture.borrow() {
            Picture::Known(map) => Some(Arc::clone(map)),
            _ => None,
        }
    }

    /// The map, if there is one or is about to be.
    async fn map(&self, deadline: Instant) -> Result<Arc<Map>, Failure> {
        if let Some(map) = self.known() {
            return Ok(map);
        }
        let mut picture = self.picture.subscribe();
        let until = deadline.min(Instant::now() + self.way.patience());
        let known = picture.wait_for(|picture| !matches!(picture, Picture::Learning));
        match timeout_at(until, known).await {
            Ok(Ok(picture)) => match &*picture {
                Picture::Known(map) => Ok(Arc::clone(map)),
                Picture::Unknown(class) => Err(Failure::from(*class).of_connecting()),
                Picture::Learning => Err(Class::Connecting.into()),
            },
            _ => Err(Class::Connecting.into()),
        }
    }

    /// The server that has all keys.
    fn sole_node(&self) -> Option<Arc<Node>> {
        self.known()?.nodes.first().map(Arc::clone)
    }

    fn node(&self, endpoint: Endpoint, fence: &str) -> Arc<Node> {
        Node::new(endpoint, &self.way, fence, &self.doubted)
    }

    /// One server has all keys: this one.
    fn lead_to(&self, endpoint: Endpoint) {
        self.adopt(Map {
            nodes: vec![self.node(endpoint, &self.fence)],
            ranges: vec![Range {
                first: 0,
                last: SLOTS - 1,
                node: 0,
            }],
            strays: Mutex::default(),
        });
    }

    /// This is the map from now on. Whoever is not in it any more is left at once: what it says
    /// from now on counts for nothing.
    fn adopt(&self, map: Map) {
        let (old, map) = (self.known(), Arc::new(map));
        self.picture.send_replace(Picture::Known(Arc::clone(&map)));
        for node in old.iter().flat_map(|old| &old.nodes) {
            if map.node_at(node.endpoint()).is_none() {
                node.part(Class::Demoted);
            }
        }
    }

    /// It could not be learnt who is in charge. What is known stays.
    fn cannot_tell(&self, why: Class) {
        if self.known().is_none() {
            self.picture.send_replace(Picture::Unknown(why));
        }
    }

    async fn survey(&self, deadline: Instant) -> Survey {
        let mut survey = Survey::default();
        match self.map(deadline).await {
            Ok(map) => {
                let serve = map.nodes.iter().map(|node| node.serves(deadline));
                for (node, serves) in map.nodes.iter().zip(join_all(serve).await) {
                    match serves {
                        Ok(()) => survey.serving += 1,
                        Err(failure) => {
                            survey.lost += 1;
                            if failure.class.doubts_topology() {
                                self.doubted.notify_one();
                            }
                            survey.failure = Some(failure);
                        }
                    }
                    survey.doubt = survey.doubt.or_else(|| node.doubt());
                    survey.is_unconfirmed |= node.is_unconfirmed();
                }
            }
            Err(failure) => {
                survey.lost = 1;
                survey.failure = Some(failure);
            }
        }
        if let Some(metrics) = self.metrics.get() {
            metrics.set_redis(survey.serving, survey.lost, survey.is_unconfirmed);
        }
        survey
    }
}

async fn keep_surveying(shared: Arc<TopologyState>) {
    loop {
        shared.survey(Instant::now() + SURVEY_EVERY).await;
        sleep(SURVEY_EVERY).await;
    }
}

impl Map {
    fn node_of(&self, key: &str) -> Option<&Arc<Node>> {
        if let [all] = &*self.ranges
            && all.first == 0
            && all.last == SLOTS - 1
        {
            return self.nodes.get(all.node);
        }
        let slot = slot(key);
        let after = self.ranges.partition_point(|range| range.last < slot);
        let range = self.ranges.get(after).filter(|range| range.first <= slot);
        self.nodes.get(range?.node)
    }

    fn node_at(&self, endpoint: &Endpoint) -> Option<Arc<Node>> {
        let is_it = |node: &&Arc<Node>| node.endpoint() == endpoint;
        self.nodes.iter().find(is_it).map(Arc::clone)
    }

    /// A node without slots, as far as is known here: one to which the first is just moving.
    fn stray(&self, shared: &TopologyState, endpoint: Endpoint) -> Arc<Node> {
        let mut strays = self.strays.lock();
        if let Some(known) = strays.iter().find(|node| *node.endpoint() == endpoint) {
            return Arc::clone(known);
        }
        if strays.len() == MOST_STRAYS {
            strays.clear();
        }
        let stray = shared.node(endpoint, &shared.fence);
        strays.push(Arc::clone(&stray));
        stray
    }
}
