//! Many clients at once that log in and out until the service goes away, and remember what they
//! were told; and the service that comes after it, held against that.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Ask, Connection, Service, wait_within};
use crate::sealed::{PASSWORD, now_ms, sealed};

/// What the service must be started with: clients end seals as well.
pub const SEALS: [&str; 2] = ["--sealed-password", PASSWORD];

const CLIENTS: usize = 16;
const USERS: usize = 5;

/// How many sessions a client has open at a time.
const OPEN: usize = 4;

/// What clients were told.
#[derive(Default)]
pub struct Told {
    /// Logged in, and never asked to end.
    live: Vec<Login>,
    /// Logged out, which was answered `true`.
    ended: Vec<Login>,
    /// Seals logged out, which was answered `true`.
    ended_seals: Vec<String>,
    /// Ids of sessions whose logout was not answered.
    unsure: HashSet<String>,
    /// How many logins of a user were not answered.
    unanswered: HashMap<String, usize>,
}

struct Login {
    user: String,
    id: String,
    token: String,
}

/// The clients, at work.
pub struct Crowd {
    ended: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Told>>,
}

impl Crowd {
    pub fn start(service: &Service) -> Self {
        let ended = Arc::<AtomicUsize>::default();
        let clients = (0..CLIENTS).map(|number| {
            let client = Client {
                user: format!("user-{}", number % USERS),
                public: service.public,
                admin: service.admin,
                told: Told::default(),
                open: VecDeque::new(),
                seals: 0,
                ended: Arc::clone(&ended),
            };
            std::thread::spawn(move || client.work())
        });
        Self {
            clients: clients.collect(),
            ended,
        }
    }

    /// Waits until so many logouts were answered.
    pub fn until_ended(&self, count: usize) {
        wait_within(Duration::from_mins(1), "logouts are answered", || {
            let gave_up = self.clients.iter().any(JoinHandle::is_finished);
            assert!(!gave_up, "a client gave up while the service was there");
            self.ended.load(Ordering::Relaxed) >= count
        });
    }

    /// Once the service is gone: adds what they were told to `all`.
    pub fn tell(self, all: &mut Told) {
        for client in self.clients {
            let told = client.join().unwrap();
            all.live.extend(told.live);
            all.ended.extend(told.ended);
            all.ended_seals.extend(told.ended_seals);
            all.unsure.extend(told.unsure);
            for (user, count) in told.unanswered {
                *all.unanswered.entry(user).or_default() += count;
            }
        }
    }
}

struct Client {
    user: String,
    public: SocketAddr,
    admin: SocketAddr,
    told: Told,
    open: VecDeque<Login>,
    /// How many it has made.
    seals: u32,
    ended: Arc<AtomicUsize>,
}

impl Client {
    /// Works until an answer fails to come.
    fn work(mut self) -> Told {
        let mut turns = 0..;
        while let Some(turn) = turns.next()
            && self.turn(turn).is_some()
        {}
        self.told.live.extend(self.open);
        self.told
    }

    fn turn(&mut self, turn: u32) -> Option<()> {
        self.log_in()?;
        if self.open.len() <= OPEN {
            return Some(());
        }
        let oldest = self.open.pop_front()?;
        // Of three sessions one is left alone, and with one a seal ends too.
        match turn % 3 {
            0 => self.told.live.push(oldest),
            1 => self.log_out(oldest)?,
            _ => {
                self.log_out(oldest)?;
                self.log_out_of_a_seal()?;
            }
        }
        Some(())
    }

    fn log_in(&mut self) -> Option<()> {
        let Some(answer) = Ask::login(&self.user).try_send(self.admin) else {
            *self.told.unanswered.entry(self.user.clone()).or_default() += 1;
            return None;
        };
        assert_eq!(answer.status, 201, "{answer:?}");
        let issued = answer.json();
        let field = |name: &str| issued[name].as_str().unwrap().to_owned();
        self.open.push_back(Login {
            user: field("user"),
            id: field("id"),
            token: field("token"),
        });
        Some(())
    }

    fn log_out(&mut self, login: Login) -> Option<()> {
        let Some(was_live) = self.was_live(&login.token) else {
            self.told.unsure.insert(login.id);
            return None;
        };
        assert!(was_live, "a live session was said to be none");
        self.told.ended.push(login);
        Some(())
    }

    fn log_out_of_a_seal(&mut self) -> Option<()> {
        let thread = std::thread::current().id();
        self.seals += 1;
        let id = format!("{thread:?}-{}-{}", now_ms(), self.seals);
        let seal = sealed(&id, &*id);
        assert!(self.was_live(&seal)?, "a live seal was said to be none");
        self.told.ended_seals.push(seal);
        Some(())
    }

    fn was_live(&self, token: &str) -> Option<bool> {
        let answer = Ask::logout(token).try_send(self.public)?;
        assert_eq!(answer.status, 200, "{answer:?}");
        self.ended.fetch_add(1, Ordering::Relaxed);
        Some(answer.body == "true")
    }
}

impl Told {
    /// How many logouts were answered.
    pub fn ended(&self) -> usize {
        self.ended.len() + self.ended_seals.len()
    }

    /// No acknowledged logout is back, no live session is lost, and the lists of the users'
    /// sessions say the same.
    pub fn assert_true_of(&self, service: &Service) {
        let mut connection = Connection::open(service.public);
        let mut status = |token: &str| connection.ask(&Ask::check(token)).status;
        for login in &self.live {
            assert_eq!(status(&login.token), 204, "{} is lost", login.id);
        }
        for login in &self.ended {
            assert_eq!(status(&login.token), 401, "{} is back", login.id);
        }
        for seal in &self.ended_seals {
            assert_eq!(status(seal), 401, "{seal} is back");
        }
        for user in 0..USERS {
            self.assert_listed(service, &format!("user-{user}"));
        }
    }

    fn assert_listed(&self, service: &Service, user: &str) {
        let listed = service.list(user);
        let ids = listed.iter().map(|one| one["id"].as_str().unwrap());
        let mut listed: HashSet<&str> = ids.collect();
        for login in self.live.iter().filter(|login| login.user == user) {
            assert!(listed.remove(&*login.id), "{} is not listed", login.id);
        }
        for login in &self.ended {
            assert!(!listed.contains(&*login.id), "{} is listed", login.id);
        }
        listed.retain(|&id| !self.unsure.contains(id));
        // What is left came of logins that nobody was told of.
        let unanswered = self.unanswered.get(user).copied().unwrap_or_default();
        assert!(
            listed.len() <= unanswered,
            "listed for no reason: {listed:?}"
        );
    }
}
