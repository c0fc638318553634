//! One call of the store: it finds the server that has a key, sends, follows a redirection, and
//! says of a server what is wrong with it.
//!
//! What only reads is sent once more if its connection went away under it. What changes something
//! is sent again only when a cluster's node says that it did nothing and another has the key.

use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};
use parking_lot::Mutex;
use redis::{Cmd, FromRedisValue, Pipeline, Value};
use tokio::time::Instant;

use super::conn::{Conn, Purpose};
use super::error::{Class, Failure};
use super::node::Node;
use super::topology::Topology;

/// Some commands with one deadline, and one confirmation by the replicas of all that they wrote.
pub(super) struct Call<'a> {
    topology: &'a Topology,
    pub(super) deadline: Instant,
    written: Mutex<Vec<(Arc<Conn>, Arc<Node>)>>,
}

impl<'a> Call<'a> {
    pub(super) fn new(topology: &'a Topology, deadline: Instant) -> Self {
        Self {
            topology,
            deadline,
            written: Mutex::default(),
        }
    }

    /// Asks the server that has `key`.
    pub(super) async fn read<T: FromRedisValue>(
        &self,
        key: &str,
        command: &Cmd,
    ) -> Result<T, Failure> {
        self.run(Purpose::Read, key, command).await
    }

    /// Has the server that has `key` do this. After an error it may have been done, but not twice.
    pub(super) async fn change<T: FromRedisValue>(
        &self,
        key: &str,
        command: &Cmd,
    ) -> Result<T, Failure> {
        self.run(Purpose::Change, key, command).await
    }

    /// Sends the server that has `key` something that it may miss.
    pub(super) async fn hint(&self, key: &str, command: Cmd) {
        if let Ok(node) = self.topology.route(key, self.deadline).await
            && let Ok(conn) = node.conn(Purpose::Read, self.deadline).await
        {
            conn.hint(command);
        }
    }

    async fn run<T: FromRedisValue>(
        &self,
        purpose: Purpose,
        key: &str,
        command: &Cmd,
    ) -> Result<T, Failure> {
        let mut node = self.topology.route(key, self.deadline).await?;
        let (mut asking, mut is_redirected, mut is_repeated) = (false, false, false);
        loop {
            let answer = self.send(&node, purpose, command, asking).await;
            let Err(failure) = answer else { return answer };
            if let Some(redirection) = failure.redirection.as_ref().filter(|_| !is_redirected) {
                is_redirected = true;
                asking = redirection.once;
                let to = self
                    .topology
                    .redirected(redirection, &node, self.deadline)
                    .await;
                node = to.ok_or(failure)?;
            } else if purpose == Purpose::Read && failure.class.may_read_again() && !is_repeated {
                is_repeated = true;
                asking = false;
                node = self.topology.route(key, self.deadline).await?;
            } else {
                return Err(failure);
            }
        }
    }

    async fn send<T: FromRedisValue>(
        &self,
        node: &Arc<Node>,
        purpose: Purpose,
        command: &Cmd,
        asking: bool,
    ) -> Result<T, Failure> {
        let sent = async {
            let conn = node.conn(purpose, self.deadline).await?;
            let answer = conn.send(command, asking, purpose, self.deadline).await;
            self.wrote(purpose, &conn, node, answer.as_ref().err());
            answer
        };
        let answer = sent.await;
        answer.inspect_err(|failure| self.topology.noticed(failure, node))
    }

    /// The same command for many keys at once, those of one server in one go; answers in the order
    /// of the keys.
    pub(super) async fn each<T: FromRedisValue>(
        &self,
        purpose: Purpose,
        keys: &[String],
        command: fn(&str) -> Cmd,
    ) -> Vec<Result<T, Failure>> {
        let mut groups: Vec<(Arc<Node>, Vec<usize>)> = Vec::new();
        let mut answers: Vec<Result<T, Failure>> = Vec::with_capacity(keys.len());
        for (at, key) in keys.iter().enumerate() {
            let node = self.topology.route(key, self.deadline).await;
            answers.push(Err(Class::Connecting.into()));
            match node {
                Ok(node) => match groups.iter_mut().find(|(of, _)| Arc::ptr_eq(of, &node)) {
                    Some((_, members)) => members.push(at),
                    None => groups.push((node, vec![at])),
                },
                Err(failure) => answers[at] = Err(failure),
            }
        }
        let sent = groups.iter().map(|(node, members)| {
            let mut all = redis::pipe();
            for at in members {
                all.add_command(command(&keys[*at]));
            }
            self.send_all(node, purpose, all)
        });
        for ((_, members), answered) in groups.iter().zip(join_all(sent).await) {
            for (at, answer) in members.iter().zip(answered) {
                answers[*at] = answer;
            }
        }
        for (answer, key) in answers.iter_mut().zip(keys) {
            let Err(failure) = answer else { continue };
            let may_read_again = purpose == Purpose::Read && failure.class.may_read_again();
            if failure.redirection.is_some() || may_read_again {
                *answer = self.run(purpose, key, &command(key)).await;
            }
        }
        answers
    }

    async fn send_all<T: FromRedisValue>(
        &self,
        node: &Arc<Node>,
        purpose: Purpose,
        commands: Pipeline,
    ) -> Vec<Result<T, Failure>> {
        let sent = async {
            let conn = node.conn(purpose, self.deadline).await?;
            let answers = conn.send_all(&commands, purpose, self.deadline).await;
            self.wrote(purpose, &conn, node, answers.as_ref().err());
            answers
        };
        let answers = match sent.await {
            Ok(answers) => answers,
            Err(failure) => vec![Err(failure); commands.len()],
        };
        let read = |answer: Result<Value, Failure>| {
            let answer = answer.inspect_err(|failure| self.topology.noticed(failure, node));
            Ok(redis::from_redis_value(answer?)?)
        };
        answers.into_iter().map(read).collect()
    }

    fn wrote(
        &self,
        purpose: Purpose,
        conn: &Arc<Conn>,
        node: &Arc<Node>,
        failed: Option<&Failure>,
    ) {
        // One that only said where to go has written nothing.
        let has_written = failed.is_none_or(|failure| failure.redirection.is_none());
        if purpose == Purpose::Change && has_written && self.topology.wait_replicas() > 0 {
            let mut written = self.written.lock();
            if !written.iter().any(|(known, _)| Arc::ptr_eq(known, conn)) {
                written.push((Arc::clone(conn), Arc::clone(node)));
            }
        }
    }

    /// Has the confirmation cover every server, also those that this call has nothing to do at: an
    /// earlier attempt may have done it there and not been confirmed.
    pub(super) async fn include_all(&self) -> Result<(), Failure> {
        if self.topology.wait_replicas() == 0 {
            return Ok(());
        }
        let nodes = self.topology.nodes(self.deadline).await?;
        let mut all = Ok(());
        let conns = nodes
            .iter()
            .map(|node| node.conn(Purpose::Change, self.deadline));
        for (node, conn) in nodes.iter().zip(join_all(conns).await) {
            match conn {
                Ok(conn) => self.wrote(Purpose::Change, &conn, node, None),
                Err(failure) => all = Err(failure),
            }
        }
        all
    }

    /// Waits for the replicas, if there are any to wait for: on the very connections that wrote.
    pub(super) async fn confirmed(&self) -> Result<(), Failure> {
        let replicas = self.topology.wait_replicas();
        let written = std::mem::take(&mut *self.written.lock());
        let confirming = written.iter().map(async |(conn, node)| {
            let confirmed = conn.confirm(replicas, &node.fence(), self.deadline).await;
            confirmed.map_err(|failure| {
                self.topology.noticed(&failure, node);
                node.not_confirmed();
                failure.of_confirmation()
            })
        });
        try_join_all(confirming).await.map(drop)
    }
}
