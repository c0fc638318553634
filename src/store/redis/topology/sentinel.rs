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

use super::super::dial::{As, Place};
use super::super::error::{Class, Failure, printable};
use super::super::url::Endpoint;
use super::Shared;
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

/// What they say together.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Master(Endpoint),
    NoSuchMaster,
    NoMajority,
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

    pub(super) async fn keep_current(self, shared: Arc<Shared>) {
        let mut informants = Informants::new(&shared.way, self.question());
        let mut names = Names::default();
        let (mut without_since, mut has_warned, mut lacking) = (None, false, Vec::new());
        loop {
            let places = names.places(&self.configured).await;
            informants.ask(
                places
                    .iter()
                    .flat_map(|(_, places)| places.clone())
                    .collect(),
            );
            let said = informants.said(FRESH);
            warn_of_lacking_rights(&mut lacking, &said);
            let (known, words) = count(&places, &said);
            let verdict = decide(known, &words);
            let current = shared.known();
            let current = current.as_ref().and_then(|map| map.nodes.first());
            match verdict {
                Verdict::Master(master) => {
                    without_since = None;
                    if std::mem::take(&mut has_warned) {
                        tracing::info!("a majority of the Sentinels is within reach again");
                    }
                    if let Some(node) = current.filter(|node| *node.endpoint() == master) {
                        node.vouch(true);
                    } else {
                        let host = printable(&master.host).into_owned();
                        tracing::info!(host, port = master.port, "the Sentinels name a master");
                        shared.lead_to(master);
                    }
                }
                Verdict::NoMajority | Verdict::NoSuchMaster => {
                    let since = *without_since.get_or_insert_with(Instant::now);
                    if let Some(node) = current {
                        node.vouch(false);
                    }
                    let (heard, failure) = informants.heard();
                    if heard == informants.count() || since.elapsed() > UNSAID {
                        shared.cannot_tell(Class::Sentinel);
                    }
                    if since.elapsed() > UNSAID && !has_warned {
                        has_warned = true;
                        let cause = failure.map(|failure| failure.to_string());
                        tracing::warn!(
                            known,
                            answer = words.len(),
                            name = &*self.master,
                            cause = cause.unwrap_or_default(),
                            "no majority of the Sentinels names a master"
                        );
                    }
                }
            }
            informants.news_or_doubt(&shared.doubted).await;
        }
    }
}

fn warn_of_lacking_rights(warned: &mut Vec<&'static str>, said: &[(Place, Arc<Word>)]) {
    for right in said.iter().flat_map(|(_, word)| &word.lacking) {
        if !warned.contains(right) {
            warned.push(right);
            tracing::warn!("rights are lacking at the Sentinels: {right}");
        }
    }
}

fn read_word(_: &Place, mut answers: Answers) -> Result<Word, Failure> {
    let mut word = Word::default();
    let mut next = || answers.next().unwrap_or(Ok(Value::Nil));
    let named: Option<(String, u16)> = redis::from_redis_value(next()?)?;
    word.master = named.map(|(host, port)| Endpoint { host, port });
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
fn count(places: &[(Endpoint, Vec<Place>)], said: &[(Place, Arc<Word>)]) -> (usize, Vec<Word>) {
    let (mut known, mut words) = (0, Vec::new());
    for (_, places) in places {
        let of_kind = |is_v4: bool| {
            let places = places
                .iter()
                .filter(move |place| place.address.is_ipv4() == is_v4);
            let words = places.clone().filter_map(|place| {
                let (_, word) = said.iter().find(|(by, _)| by == place)?;
                Some(Word::clone(word))
            });
            (words.collect::<Vec<_>>(), places.count())
        };
        let ((v4, count_v4), (v6, count_v6)) = (of_kind(true), of_kind(false));
        known += count_v4.max(count_v6).max(1);
        words.extend(if v4.len() >= v6.len() { v4 } else { v6 });
    }
    (known, words)
}

fn decide(known: usize, words: &[Word]) -> Verdict {
    let (needed, words): (usize, Vec<&Word>) = if known < 3 {
        (1, words.iter().filter(|word| word.has_quorum).collect())
    } else {
        (known / 2 + 1, words.iter().collect())
    };
    if words.len() < needed {
        return Verdict::NoMajority;
    }
    // For each that is named: the highest epoch, and how many name it.
    let mut named: HashMap<&Option<Endpoint>, (u64, usize)> = HashMap::new();
    for word in &words {
        let (epoch, votes) = named.entry(&word.master).or_default();
        *epoch = word.epoch.max(*epoch);
        *votes += 1;
    }
    let Some((master, (epoch, votes))) = named.iter().max_by_key(|(_, rank)| **rank) else {
        return Verdict::NoMajority;
    };
    let is_newest = named
        .iter()
        .all(|(other, rank)| other == master || rank.0 < *epoch);
    match master {
        Some(master) if *votes >= needed || is_newest => Verdict::Master(master.clone()),
        None if *votes >= needed => Verdict::NoSuchMaster,
        _ => Verdict::NoMajority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(port: u16, epoch: u64, has_quorum: bool) -> Word {
        let host = "a".to_owned();
        Word {
            master: (port > 0).then_some(Endpoint { host, port }),
            epoch,
            has_quorum,
            lacking: Vec::new(),
        }
    }

    fn port(known: usize, words: &[Word]) -> Option<u16> {
        match decide(known, words) {
            Verdict::Master(master) => Some(master.port),
            _ => None,
        }
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
        assert_eq!(decide(3, &[nobody.clone(), nobody]), Verdict::NoSuchMaster);
    }

    #[test]
    fn of_one_or_two_one_suffices_that_has_a_quorum() {
        let (alone, backed) = (word(1, 1, false), word(1, 1, true));
        assert_eq!(port(1, std::slice::from_ref(&alone)), None);
        assert_eq!(port(2, std::slice::from_ref(&backed)), Some(1));
        assert_eq!(port(2, &[alone, backed]), Some(1));
    }
}
