//! Servers that are asked again and again what they know: Sentinels, or nodes of a cluster.
//!
//! Each has a connection and a task of its own, so that one that is slow or silent delays nobody.
//! By asking, and not by subscribing to what they publish: a subscription that has fallen silent
//! looks like one without news, and would have to be doubted by asking anyway.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, Value};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use super::super::dial::{As, ServerAddr, Way, resolve};
use super::super::error::{Class, Failure};
use super::super::url::Endpoint;

/// The least time between two questions to one of them.
const LEAST_PAUSE: Duration = Duration::from_millis(200);

/// The least time between two looks at what they said.
const LEAST_LOOK: Duration = Duration::from_millis(20);

/// For how long the addresses of a name are good, or it is not asked again for them; and how long
/// one may wait for them.
const NAMES_LAST: Duration = Duration::from_secs(10);
const NAMES_FAIL: Duration = Duration::from_secs(1);
const NAMES_TAKE: Duration = Duration::from_millis(500);

/// What is asked, and of whom.
pub(super) struct Question<T> {
    pub(super) whom: As,
    pub(super) commands: Pipeline,
    pub(super) read: fn(&ServerAddr, Answers) -> Result<T, Failure>,
    pub(super) every: Duration,
}

/// What they answer, command by command.
pub(super) type Answers = std::vec::IntoIter<Result<Value, Failure>>;

/// Those that are asked.
pub(super) struct Informants<T> {
    asking: Arc<Asking<T>>,
    tasks: HashMap<ServerAddr, AbortHandle>,
}

struct Asking<T> {
    way: Arc<Way>,
    question: Question<T>,
    said: Mutex<HashMap<ServerAddr, Said<T>>>,
    news: Notify,
    hurry: watch::Sender<()>,
}

struct Said<T> {
    at: Instant,
    what: Result<Arc<T>, Failure>,
}

impl<T: Send + Sync + 'static> Informants<T> {
    pub(super) fn new(way: &Arc<Way>, question: Question<T>) -> Self {
        let asking = Asking {
            way: Arc::clone(way),
            question,
            said: Mutex::default(),
            news: Notify::new(),
            hurry: watch::Sender::new(()),
        };
        Self {
            asking: Arc::new(asking),
            tasks: HashMap::new(),
        }
    }

    /// Asks these from now on, and no others.
    pub(super) fn ask(&mut self, addrs: Vec<ServerAddr>) {
        self.tasks.retain(|addr, task| {
            let stays = addrs.contains(addr);
            if !stays {
                task.abort();
                self.asking.said.lock().remove(addr);
            }
            stays
        });
        for addr in addrs {
            let task = |addr: &ServerAddr| {
                let asking = Arc::clone(&self.asking);
                tokio::spawn(ask_again_and_again(asking, addr.clone())).abort_handle()
            };
            self.tasks.entry(addr).or_insert_with_key(task);
        }
    }

    /// Waits until it is worth looking at what they said. A doubt has all of them asked at once.
    pub(super) async fn news(&self, doubted: &Notify) {
        let mut long_enough = pin!(sleep(self.asking.question.every));
        loop {
            // However many calls fail at a time.
            sleep(LEAST_LOOK).await;
            tokio::select! {
                () = self.asking.news.notified() => return,
                () = &mut long_enough => return,
                () = doubted.notified() => {
                    self.asking.hurry.send_replace(());
                }
            }
        }
    }

    /// What those said who answered not longer ago than this.
    pub(super) fn said(&self, within: Duration) -> Vec<(ServerAddr, Arc<T>)> {
        let said = self.asking.said.lock();
        let fresh = said.iter().filter(|(_, said)| said.at.elapsed() < within);
        let answered = fresh.filter_map(|(addr, said)| {
            let what = said.what.as_ref().ok()?;
            Some((addr.clone(), Arc::clone(what)))
        });
        answered.collect()
    }

    /// How many have answered or failed to, and how one of them failed, if any has.
    pub(super) fn heard(&self) -> (usize, Option<Failure>) {
        let said = self.asking.said.lock();
        let failure = said.values().find_map(|said| said.what.as_ref().err());
        (said.len(), failure.cloned())
    }

    /// How many are asked.
    pub(super) fn count(&self) -> usize {
        self.tasks.len()
    }
}

impl<T> Drop for Informants<T> {
    fn drop(&mut self) {
        self.tasks.values().for_each(AbortHandle::abort);
    }
}

async fn ask_again_and_again<T: Send + Sync>(asking: Arc<Asking<T>>, addr: ServerAddr) {
    let (mut kept, mut hurry) = (None, asking.hurry.subscribe());
    loop {
        let answer = timeout(asking.way.timeout, asking.ask(&mut kept, &addr)).await;
        let what = answer.unwrap_or(Err(Class::Timeout.into())).map(Arc::new);
        if what.is_err() {
            kept = None;
        }
        let at = Instant::now();
        asking.said.lock().insert(addr.clone(), Said { at, what });
        asking.news.notify_one();
        sleep(LEAST_PAUSE).await;
        tokio::select! {
            () = sleep(asking.question.every.saturating_sub(LEAST_PAUSE)) => {}
            // Its other end lives as long as this.
            _ = hurry.changed() => {}
        }
    }
}

impl<T> Asking<T> {
    async fn ask(
        &self,
        kept: &mut Option<MultiplexedConnection>,
        addr: &ServerAddr,
    ) -> Result<T, Failure> {
        let open = match kept.take() {
            Some(open) => open,
            None => self.way.open(addr, self.question.whom).await?,
        };
        let commands = &self.question.commands;
        let open = kept.insert(open);
        let answers = open.send_packed_commands(commands, 0, commands.len());
        let answers = answers.await?.into_iter();
        let answers = answers.map(|answer| answer.extract_error().map_err(Failure::from));
        (self.question.read)(addr, answers.collect::<Vec<_>>().into_iter())
    }
}

/// The addresses of names, and until when they are good.
#[derive(Default)]
pub(super) struct Names(HashMap<Endpoint, (Vec<ServerAddr>, Instant)>);

impl Names {
    /// All addresses of each; those of before if they cannot be looked up.
    pub(super) async fn addrs(
        &mut self,
        endpoints: &[Endpoint],
    ) -> Vec<(Endpoint, Vec<ServerAddr>)> {
        let is_due = |endpoint: &&Endpoint| {
            let known = self.0.get(*endpoint);
            known.is_none_or(|(_, until)| *until < Instant::now())
        };
        let due: Vec<&Endpoint> = endpoints.iter().filter(is_due).collect();
        let looking_up = due.iter().map(|name| timeout(NAMES_TAKE, resolve(name)));
        let found = join_all(looking_up).await;
        for (name, found) in due.into_iter().zip(found) {
            let known = self.0.entry(name.clone());
            let (addrs, until) = known.or_insert_with(|| (Vec::new(), Instant::now()));
            match found {
                Ok(Ok(found)) => (*addrs, *until) = (found, Instant::now() + NAMES_LAST),
                _ => *until = Instant::now() + NAMES_FAIL,
            }
        }
        let known = |name: &Endpoint| {
            let addrs = self.0.get(name).map(|(addrs, _)| addrs.clone());
            (name.clone(), addrs.unwrap_or_default())
        };
        endpoints.iter().map(known).collect()
    }
}
