//! Whom the Sentinels name: their majority is believed, and never fewer.
//!
//! Each resolved address counts as one Sentinel. The majority of them must answer; of what those
//! name, that with the highest configuration epoch counts, which took a majority of the Sentinels'
//! votes, or else that which most name. Where fewer than three are known, one suffices that has a
//! quorum by its own word (`SENTINEL CKQUORUM`).
//!
//! Without a majority nobody new is gone to; the connections that stand go on for as long as
//! their server says that it is the master. So an outage of the Sentinels turns nobody out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::super::dial::{As, ServerAddr};
use super::super::error::{Class, Failure, printable};
use super::super::url::Endpoint;
use super::TopologyState;
use super::informants::{Answers, Informants, Names, Question};

/// With this a change of masters is followed well within two seconds.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// For how long a Sentinel's word is good.
const FRESH: Duration = Duration::from_secs(2);

/// The majority may be missing for so long without a warning.
const UNSAID: Duration = Duration::from_secs(1);

/// How the master is found.
pub(super) struct Sentinels {
    configured: Vec<Endpoint>,
    master: String,
}

/// What one Sentinel says.
#[derive(Clone, Debug, Default)]
struct Word {
    master: Option<Endpoint>,
    epoch: u64,
    has_quorum: bool,
    lacking: Vec<&'static str>,
}

impl Sentinels {
    pub(super) const fn new(configured: Vec<Endpoint>, master: String) -> Self {
        Self { configured, master }
    }

    fn question(&self) -> Question<Word> {
        let mut commands = redis::pipe();
        let mut ask = |what: &str| {
            commands.cmd("SENTINEL").arg(what).arg(&self.master);
        };
        ask("get-master-addr-by-name");
        ask("master");
        ask("ckquorum");
        Question {
            whom: As::Sentinel,
            commands,
            read: read_word,
            every: ASK_EVERY,
        }
    }

    pub(super) async fn keep_current(self, shared: Arc<TopologyState>) {
        let mut informants = Informants::new(&shared.way, self.question());
        let (mut names, mut lacking) = (Names::default(), Vec::new());
        let mut missing = Missing::default();
        loop {
            let addrs = names.addrs(&self.configured).await;
            let all = addrs.iter().flat_map(|(_, addrs)| addrs.clone());
            informants.ask(all.collect());
            let said = informants.said(FRESH);
            warn_of_lacking_rights(&mut lacking, &said);
            let (known, words) = count(&addrs, &said);
            if let Some(master) = decide(known, &words) {
                missing.is_over();
                follow(&shared, master);
            } else {
                let (heard, failure) = informants.heard();
                let since = missing.goes_on(known, words.len(), failure);
                if let Some(node) = shared.sole_node() {
                    node.confirm(false);
                } else if heard >= informants.count() || since > UNSAID {
                    shared.cannot_tell(Class::Sentinel);
                }
            }
            informants.news(&shared.doubted).await;
        }
    }
}

/// This is the master now.
fn follow(shared: &TopologyState, master: Endpoint) {
    match shared.sole_node() {
        Some(node) if *node.endpoint() == master => node.confirm(true),
        _ => {
            let host = printable(&master.host).into_owned();
            tracing::info!(host, port = master.port, "the Sentinels name a master");
            shared.lead_to(master);
        }
    }
}

/// Since when there is no majority, and whether that was said.
#[derive(Default)]
struct Missing {
    since: Option<Instant>,
    is_said: bool,
}

impl Missing {
    fn is_over(&mut self) {
        if self.is_said {
            tracing::info!("a majority of the Sentinels names a master again");
        }
        *self = Self::default();
    }

    /// For how long it has been so.
    fn goes_on(&mut self, known: usize, answer: usize, failure: Option<Failure>) -> Duration {
        let since = self.since.get_or_insert_with(Instant::now).elapsed();
        if since > UNSAID && !self.is_said {
            self.is_said = true;
            let cause = failure.map(|failure| failure.to_string());
            let cause = cause.unwrap_or_default();
            let text = "no majority of the Sentinels names a master";
            tracing::warn!(known, answer, cause, "{text}");
        }
        since
    }
}

fn warn_of_lacking_rights(warned: &mut Vec<&'static str>, said: &[(ServerAddr, Arc<Word>)]) {
    for right in said.iter().flat_map(|(_, word)| &word.lacking) {
        if !warned.contains(right) {
            warned.push(right);
            tracing::warn!("rights are lacking at the Sentinels: {right}");
        }
    }
}

fn read_word(_: &ServerAddr, mut answers: Answers) -> Result<Word, Failure> {
    let mut word = Word::default();
    let mut next = || answers.next().unwrap_or(Ok(Value::Nil));
    let named: Option<(String, u16)> = redis::from_redis_value(next()?)?;
    word.master = named.map(|(host, port)| Endpoint::new(host, port));
    match next() {
        Ok(master) => {
            let master: HashMap<String, String> = redis::from_redis_value(master)?;
            let epoch = master
                .get("config-epoch")
                .and_then(|epoch| epoch.parse().ok());
            word.epoch = epoch.unwrap_or_default();
        }
        Err(failure) if failure.class == Class::NoPerm => word.lacking.push("+sentinel|master"),
        Err(_) => {}
    }
    match next() {
        Ok(_) => word.has_quorum = true,
        Err(failure) if failure.class == Class::NoPerm => {
            word.has_quorum = true;
            word.lacking.push("+sentinel|ckquorum");
        }
        Err(_) => {}
    }
    Ok(word)
}

/// How many Sentinels there are, and what those say that answered. A name's addresses of either
/// kind, IPv4 and IPv6, are the same Sentinels.
fn count(
    addrs: &[(Endpoint, Vec<ServerAddr>)],
    said: &[(ServerAddr, Arc<Word>)],
) -> (usize, Vec<Word>) {
    let (mut known, mut words) = (0, Vec::new());
    for (_, addrs) in addrs {
        let of_kind = |is_v4: bool| {
            let addrs = addrs
                .iter()
                .filter(move |addr| addr.socket.is_ipv4() == is_v4);
            let words = addrs.clone().filter_map(|addr| {
                let (_, word) = said.iter().find(|(by, _)| by == addr)?;
                Some(Word::clone(word))
            });
            (words.collect::<Vec<_>>(), addrs.count())
        };
        let ((v4, count_v4), (v6, count_v6)) = (of_kind(true), of_kind(false));
        known += count_v4.max(count_v6).max(1);
        words.extend(if v4.len() >= v6.len() { v4 } else { v6 });
    }
    (known, words)
}

/// Whom the majority names, if there is one.
fn decide(known: usize, words: &[Word]) -> Option<Endpoint> {
    let (needed, words): (usize, Vec<&Word>) = if known < 3 {
        (1, words.iter().filter(|word| word.has_quorum).collect())
    } else {
        (known / 2 + 1, words.iter().collect())
    };
    if words.len() < needed {
        return None;
    }
    // For each that is named: the highest epoch, and how many name it.
    let mut named: HashMap<&Option<Endpoint>, (u64, usize)> = HashMap::new();
    for word in &words {
        let (epoch, votes) = named.entry(&word.master).or_default();
        *epoch = word.epoch.max(*epoch);
        *votes += 1;
    }
    let (master, (epoch, votes)) = named.iter().max_by_key(|(_, rank)| **rank)?;
    let is_newest = named
        .iter()
        .all(|(other, rank)| other == master || rank.0 < *epoch);
    let counts = *votes >= needed || is_newest;
    master.as_ref().filter(|_| counts).cloned()
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

    use super::*;

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    fn word(port: u16, epoch: u64, has_quorum: bool) -> Word {
        let host = "a".to_owned();
        Word {
            master: (port > 0).then_some(Endpoint::new(host, port)),
            epoch,
            has_quorum,
            lacking: Vec::new(),
        }
    }

    fn port(known: usize, words: &[Word]) -> Option<u16> {
        decide(known, words).map(|master| master.port)
    }

    #[test]
    fn the_majority_must_answer_and_the_newest_of_what_it_says_counts() {
        let (old, new) = (word(1, 4, true), word(2, 5, true));
        assert_eq!(port(3, &[old.clone(), old.clone()]), Some(1));
        assert_eq!(port(3, &[old.clone(), old.clone(), new.clone()]), Some(2));
        assert_eq!(port(3, &[old.clone(), new.clone()]), Some(2));
        assert_eq!(port(3, std::slice::from_ref(&new)), None);
        assert_eq!(port(5, &[new.clone(), new]), None);
        // Without epochs, most of all must agree.
        let (one, other) = (word(1, 0, false), word(2, 0, false));
        assert_eq!(port(3, &[one.clone(), one.clone(), other.clone()]), Some(1));
        assert_eq!(port(3, &[one.clone(), other]), None);
        let nobody = word(0, 0, true);
        assert_eq!(port(3, &[nobody.clone(), nobody]), None);
    }

    #[test]
    fn of_one_or_two_one_suffices_that_has_a_quorum() {
        let (alone, backed) = (word(1, 1, false), word(1, 1, true));
        assert_eq!(port(1, std::slice::from_ref(&alone)), None);
        assert_eq!(port(2, std::slice::from_ref(&backed)), Some(1));
        assert_eq!(port(2, &[alone, backed]), Some(1));
    }

    #[test]
    fn a_names_addresses_of_both_kinds_are_the_same_sentinels() {
        let addr = |host: &str, address: IpAddr| ServerAddr {
            endpoint: Endpoint {
                host: host.to_owned(),
                port: 1,
            },
            socket: SocketAddr::new(address, 1),
        };
        let both = [V4, V6].map(|address| addr("both", address));
        let three = [1, 2, 3].map(|last| addr("three", [127, 0, 0, last].into()));
        let said = |addrs: &[ServerAddr]| {
            let said = addrs.iter().cloned();
            said.map(|addr| (addr, Arc::new(word(1, 1, true))))
                .collect::<Vec<_>>()
        };
        let name = |addrs: &[ServerAddr]| (addrs[0].endpoint.clone(), addrs.to_vec());
        let (known, words) = count(&[name(&both)], &said(&both));
        assert_eq!((known, words.len()), (1, 1));
        let (known, words) = count(&[name(&both), name(&three)], &said(&three[1..]));
        assert_eq!((known, words.len()), (4, 2));
        let unknown = (addr("unknown", V4).endpoint, Vec::new());
        let (known, words) = count(&[unknown], &[]);
        assert_eq!((known, words.len()), (1, 0));
    }
}
