//! The map of a cluster: which master has which slots.
//!
//! Some nodes, which chance picks, are asked what they know; for each slot the claim with the
//! greatest configuration epoch counts, as it does among the nodes themselves, or else what most
//! of them say. So neither a master that is cut off from the others is believed, nor one that has
//! forgotten a part of them. What no node claims stays where it was.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::super::dial::{As, ServerAddr};
use super::super::error::{Class, Failure};
use super::super::node::Node;
use super::super::url::Endpoint;
use super::informants::{Answers, Informants, Names, Question};
use super::{Map, Range, SLOTS, TopologyState};

/// How often a node is asked.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// For how long a node's word is good.
const FRESH: Duration = Duration::from_secs(5);

/// So many nodes are asked, and with the word of so many a map is made without waiting.
const ASKED: usize = 5;
const ENOUGH: usize = 3;

/// With fewer, or with claims missing, after this.
const PATIENCE: Duration = Duration::from_millis(500);

/// The way to a cluster.
pub(super) struct Cluster {
    seeds: Vec<Endpoint>,
    /// Names for fences, one of which lies with each master, and their slots.
    fences: Vec<(String, u16)>,
    /// All nodes, replicas too, as told last.
    nodes: Vec<Endpoint>,
    /// Whose each slot is, as told last.
    owners: Vec<Owner>,
}

/// A node and its id.
type Named = (Endpoint, String);

/// Whose a slot is, and by a claim of which epoch; `None` if nobody's.
type Owner = Option<(Arc<Endpoint>, u64)>;

fn endpoint_of(owner: &Owner) -> Option<&Endpoint> {
    owner.as_ref().map(|(endpoint, _)| &**endpoint)
}

/// What one node knows.
#[derive(Debug, Default)]
struct Word {
    claims: Vec<Claim>,
    nodes: Vec<Endpoint>,
    has_epochs: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Claim {
    first: u16,
    last: u16,
    master: Arc<Endpoint>,
    epoch: u64,
}

impl Cluster {
    pub(super) fn new(seeds: Vec<Endpoint>, fences: Vec<String>) -> Self {
        let with_slot = |fence: String| {
            let slot = slot(&fence);
            (fence, slot)
        };
        Self {
            seeds,
            fences: fences.into_iter().map(with_slot).collect(),
            nodes: Vec::new(),
            owners: Vec::new(),
        }
    }

    pub(super) async fn keep_current(mut self, shared: Arc<TopologyState>) {
        let mut commands = redis::pipe();
        commands.cmd("CLUSTER").arg("SLOTS");
        commands.cmd("CLUSTER").arg("NODES");
        let question = Question {
            whom: As::Server,
            commands,
            read: read_word,
            every: ASK_EVERY,
        };
        let mut informants = Informants::new(&shared.way, question);
        let mut names = Names::default();
        let (began, mut last_failure, mut has_warned) = (Instant::now(), None, false);
        loop {
            let first = shared.ask_first.lock().take();
            let asked = self
                .choose(first, &informants.said(FRESH), &mut names)
                .await;
            informants.ask(asked);
            let said = informants.said(FRESH);
            let (heard, failure) = informants.heard();
            let all_heard = heard >= informants.count();
            let is_enough = said.len() >= ENOUGH || all_heard || began.elapsed() > PATIENCE;
            if !said.is_empty() && (is_enough || shared.known().is_some()) {
                last_failure = None;
                if !has_warned && said.iter().any(|(_, word)| !word.has_epochs) {
                    has_warned = true;
                    tracing::warn!("rights are lacking at the session store: +cluster|nodes");
                }
                let words: Vec<&Word> = said.iter().map(|(_, word)| &**word).collect();
                let are_few = words.len() * 2 <= informants.count();
                self.adopt(&shared, &words, are_few);
            } else if said.is_empty() && is_enough {
                let class = failure
                    .as_ref()
                    .map_or(Class::Timeout, |failure| failure.class);
                shared.cannot_tell(class);
                if last_failure.replace(class) != Some(class) {
                    let (class, cause) = (class.word(), failure.map(|failure| failure.cause()));
                    let cause = cause.unwrap_or_default();
                    tracing::warn!(class, cause, "cannot learn the cluster's map");
                }
            }
            informants.news(&shared.doubted).await;
        }
    }

    /// Whom to ask: those that answer go on to be asked, and chance fills up their number.
    async fn choose(
        &self,
        first: Option<Endpoint>,
        said: &[(ServerAddr, Arc<Word>)],
        names: &mut Names,
    ) -> Vec<ServerAddr> {
        let mut all: Vec<Endpoint> = self.nodes.iter().chain(&self.seeds).cloned().collect();
        shuffle(&mut all);
        all.splice(0..0, first);
        let all = names.addrs(&all).await;
        let mut addrs: Vec<ServerAddr> = Vec::new();
        let answering = said.iter().map(|(addr, _)| addr);
        let known = all.iter().flat_map(|(_, addrs)| addrs);
        for addr in answering.chain(known) {
            if addrs.len() < ASKED && !addrs.contains(addr) {
                addrs.push(addr.clone());
            }
        }
        addrs
    }

    /// Makes the map of what the nodes said, with the connections there are.
    fn adopt(&mut self, shared: &TopologyState, words: &[&Word], are_few: bool) {
        let nodes = words.iter().flat_map(|word| word.nodes.iter().cloned());
        self.nodes = nodes.collect::<HashSet<_>>().into_iter().collect();
        let owners = merge(words, &self.owners, are_few);
        if owners.iter().all(Option::is_none) {
            return shared.cannot_tell(Class::ClusterDown);
        }
        let old = std::mem::replace(&mut self.owners, owners);
        let old = old.iter().map(endpoint_of);
        if old.eq(self.owners.iter().map(endpoint_of)) {
            return;
        }
        let known = shared.known();
        let at = |endpoint: &Endpoint| {
            let known = known.as_ref()?;
            let is_it = |node: &&Arc<Node>| node.endpoint() == endpoint;
            let stray = || known.strays.lock().iter().find(is_it).map(Arc::clone);
            known.node_at(endpoint).or_else(stray)
        };
        let mut map = Map::default();
        for (slot, owner) in (0..SLOTS).zip(self.owners.iter().map(endpoint_of)) {
            let Some(owner) = owner else { continue };
            let is_it = |node: &Arc<Node>| node.endpoint() == owner;
            let node = map.nodes.iter().position(is_it).unwrap_or_else(|| {
                let lies_here = |(_, slot): &&(String, u16)| {
                    endpoint_of(&self.owners[usize::from(*slot)]) == Some(owner)
                };
                let fence = self.fences.iter().find(lies_here);
                let fence = fence.map_or("", |(fence, _)| fence.as_str());
                let node = at(owner).unwrap_or_else(|| shared.node(owner.clone(), fence));
                node.set_fence(fence);
                map.nodes.push(node);
                map.nodes.len() - 1
            });
            match map.ranges.last_mut() {
                Some(range) if range.node == node && range.last + 1 == slot => range.last = slot,
                _ => map.ranges.push(Range {
                    first: slot,
                    last: slot,
                    node,
                }),
            }
        }
        tracing::info!(masters = map.nodes.len(), "learnt the cluster's map");
        shared.adopt(map);
    }
}

/// Whose each slot is, from what nodes say. What is known already fills holes, and weighs like
/// another node's word if only few have spoken.
fn merge(words: &[&Word], known: &[Owner], are_few: bool) -> Vec<Owner> {
    /// The best claim so far, and by how many it leads among those of its epoch.
    #[derive(Clone, Copy, Default)]
    struct Best<'a> {
        claim: Option<(&'a Arc<Endpoint>, u64)>,
        lead: usize,
    }
    let known = |slot: usize| {
        known
            .get(slot)?
            .as_ref()
            .map(|(owner, epoch)| (owner, *epoch))
    };
    let start = |slot| Best {
        claim: known(slot).filter(|_| are_few),
        lead: 0,
    };
    let mut best: Vec<Best<'_>> = (0..usize::from(SLOTS)).map(start).collect();
    for claim in words.iter().flat_map(|word| &word.claims) {
        for best in &mut best[usize::from(claim.first)..=usize::from(claim.last)] {
            let (master, epoch) = best.claim.unwrap_or((&claim.master, 0));
            if best.claim.is_none()
                || claim.epoch > epoch
                || (claim.epoch == epoch && best.lead == 0)
            {
                best.claim = Some((&claim.master, claim.epoch));
                best.lead = 1;
            } else if claim.epoch == epoch {
                let agrees = *master == claim.master;
                best.lead = if agrees { best.lead + 1 } else { best.lead - 1 };
            }
        }
    }
    let best = best.into_iter().enumerate();
    let claims = best.map(|(slot, best)| best.claim.or_else(|| known(slot)));
    let owners = claims.map(|claim| claim.map(|(owner, epoch)| (Arc::clone(owner), epoch)));
    owners.collect()
}

fn read_word(asked: &ServerAddr, mut answers: Answers) -> Result<Word, Failure> {
    let mut next = || answers.next().unwrap_or(Ok(Value::Nil));
    let slots: Vec<Value> = redis::from_redis_value(next()?)?;
    let epochs = match next() {
        Ok(nodes) => Some(read_epochs(&redis::from_redis_value::<String>(nodes)?)),
        Err(failure) if failure.class == Class::NoPerm => None,
        Err(failure) => return Err(failure),
    };
    let mut word = Word {
        has_epochs: epochs.is_some(),
        ..Word::default()
    };
    for range in slots {
        let (first, last, nodes) = read_range(range, &asked.endpoint)?;
        word.nodes
            .extend(nodes.iter().map(|(node, _)| node.clone()));
        if let Some((master, id)) = nodes.into_iter().next() {
            let epoch = epochs.as_ref().and_then(|epochs| epochs.get(&id));
            word.claims.push(Claim {
                first,
                last: last.min(SLOTS - 1),
                master: Arc::new(master),
                epoch: epoch.copied().unwrap_or_default(),
            });
        }
    }
    Ok(word)
}

/// The configuration epoch of each node, by its id: first and seventh word of each line.
fn read_epochs(nodes: &str) -> HashMap<String, u64> {
    let epoch = |line: &str| {
        let mut words = line.split(' ');
        let id = words.next()?.to_owned();
        Some((id, words.nth(5)?.parse().ok()?))
    };
    nodes.lines().filter_map(epoch).collect()
}

/// One entry of `CLUSTER SLOTS`: first slot, last slot, and the nodes, the master before its
/// replicas; of each the address, the port and the id. A node that does not know its own address
/// leaves it out.
fn read_range(entry: Value, asked: &Endpoint) -> Result<(u16, u16, Vec<Named>), Failure> {
    let fields: Vec<Value> = redis::from_redis_value(entry)?;
    let mut fields = fields.into_iter();
    let mut next = || fields.next().unwrap_or(Value::Nil);
    let (first, last) = (
        redis::from_redis_value(next())?,
        redis::from_redis_value(next())?,
    );
    let nodes = fields.map(|node| {
        let node: Vec<Value> = redis::from_redis_value(node)?;
        let mut node = node.into_iter();
        let mut next = || node.next().unwrap_or(Value::Nil);
        let host: Option<String> = redis::from_redis_value(next())?;
        let port = redis::from_redis_value(next())?;
        let id: Option<String> = redis::from_redis_value(next())?;
        let host = host.filter(|host| !host.is_empty() && host != "?");
        let host = host.unwrap_or_else(|| asked.host.clone());
        Ok((Endpoint::new(host, port), id.unwrap_or_default()))
    });
    let nodes: Result<_, Failure> = nodes.collect();
    Ok((first, last, nodes?))
}

fn shuffle<T>(all: &mut [T]) {
    for last in (1..all.len()).rev() {
        let chance = getrandom::u32().unwrap_or_default();
        all.swap(last, chance as usize % (last + 1));
    }
}

/// The slot of `key`: CRC16 (XMODEM) of the key, or of what stands in its first braces if that is
/// not empty.
pub(super) fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| {
        let (tag, _) = rest.split_once('}')?;
        (!tag.is_empty()).then_some(tag)
    });
    crc16(tag.unwrap_or(key).as_bytes()) % SLOTS
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let carry = crc & 0x8000 != 0;
            (crc << 1) ^ if carry { 0x1021 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_and_an_address_left_out_is_that_of_the_node_asked() {
        let asked = Endpoint::new("seed", 1);
        let entry = |host: Value| {
            let id = || Value::BulkString(b"id".to_vec());
            let node = |host| Value::Array(vec![host, Value::Int(7000), id()]);
            let replica = node(Value::BulkString(b"replica".to_vec()));
            let (first, last) = (Value::Int(5), Value::Int(9));
            Value::Array(vec![first, last, node(host), replica])
        };
        let told = Value::BulkString(b"10.0.0.1".to_vec());
        for (host, expected) in [
            (told, "10.0.0.1"),
            (Value::Nil, "seed"),
            (Value::BulkString(Vec::new()), "seed"),
        ] {
            let (first, last, nodes) = read_range(entry(host), &asked).unwrap();
            assert_eq!((first, last), (5, 9));
            let expected = [
                Endpoint::new(expected, 7000),
                Endpoint::new("replica", 7000),
            ];
            let nodes: Vec<Endpoint> = nodes.into_iter().map(|(node, _)| node).collect();
            assert_eq!(nodes, expected);
        }
        assert!(read_range(Value::Int(1), &asked).is_err());
    }

    fn word(claims: &[(u16, u16, u16, u64)]) -> Word {
        let claim = |&(first, last, port, epoch)| Claim {
            first,
            last,
            master: Arc::new(Endpoint::new("a", port)),
            epoch,
        };
        Word {
            claims: claims.iter().map(claim).collect(),
            nodes: Vec::new(),
            has_epochs: true,
        }
    }

    /// The ports of the owners of some slots.
    fn owners(words: &[&Word], known: &[Owner], are_few: bool) -> [u16; 3] {
        let merged = merge(words, known, are_few);
        [5, 6000, 12_000]
            .map(|slot: usize| merged[slot].as_ref().map_or(0, |(owner, _)| owner.port))
    }

    #[test]
    fn of_each_slot_the_newest_claim_counts_and_a_hole_is_filled() {
        let cut_off = word(&[
            (0, 5000, 1, 3),
            (5001, 10_000, 2, 2),
            (10_001, 16_383, 3, 1),
        ]);
        let other = word(&[
            (0, 5000, 4, 7),
            (5001, 10_000, 2, 2),
            (10_001, 16_383, 3, 1),
        ]);
        let forgetful = word(&[(0, 5000, 4, 7), (10_001, 16_383, 3, 1)]);
        assert_eq!(owners(&[&other, &cut_off], &[], false), [4, 2, 3]);
        assert_eq!(owners(&[&forgetful], &[], false), [4, 0, 3]);
        assert_eq!(owners(&[&forgetful, &other], &[], false), [4, 2, 3]);
        let known = merge(&[&other], &[], false);
        assert_eq!(owners(&[&forgetful], &known, false), [4, 2, 3]);
        // One alone does not take back what is newer; most of them do: it was set up anew.
        assert_eq!(owners(&[&cut_off], &known, true), [4, 2, 3]);
        assert_eq!(owners(&[&cut_off], &known, false), [1, 2, 3]);
    }

    #[test]
    fn of_claims_of_one_epoch_what_most_say_counts() {
        let (one, other) = (word(&[(0, 16_383, 1, 0)]), word(&[(0, 16_383, 2, 0)]));
        assert_eq!(owners(&[&one, &other, &other], &[], false), [2; 3]);
        assert_eq!(owners(&[&other, &one, &other], &[], false), [2; 3]);
    }

    #[test]
    fn epochs_are_read_by_the_id_of_the_node() {
        let nodes = "aa 127.0.0.1:30004@31004,host slave bb 0 1426238317239 4 connected\n\
                     bb 127.0.0.1:30002@31002 myself,master - 0 0 17 connected 5461-10922\n";
        let epochs = read_epochs(nodes);
        assert_eq!((epochs["aa"], epochs["bb"]), (4, 17));
    }

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        // As `CLUSTER KEYSLOT` says.
        assert_eq!(slot("somekey"), 11058);
        assert_eq!(slot("foo{hash_tag}"), 2515);
        assert_eq!(slot("{hash_tag}bar}"), 2515);
        assert_eq!(slot("foo{}{bar}"), slot_of_all("foo{}{bar}"));
        assert_eq!(slot("foo{{bar}}zap"), slot_of_all("{bar"));
        assert_eq!(slot("foo{bar"), slot_of_all("foo{bar"));
    }

    fn slot_of_all(text: &str) -> u16 {
        crc16(text.as_bytes()) % SLOTS
    }
}
