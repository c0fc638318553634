//! A user with more sessions than a call has time for.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::super::server::{Brand, Server};
use super::{ask_in_time, check, ready_service_on, revoke_all};
use crate::support::relay::Relay;
use crate::support::{Ask, Service, lines_with, parsed};

const MANY: usize = 40_000;

/// What is answered of them at most.
const LISTED: usize = 1_000;

/// Writes sessions of a user as they lie in Redis; the later, the later they expire.
fn fill(server: &Server, user: &str, count: usize) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = now.as_millis();
    let mut commands = String::new();
    for number in 0..count {
        let (id, expires) = (id(number), now + 3_600_000 + number as u128);
        writeln!(
            commands,
            "SET neptun-auth:s:{id} \"{now} {now} {expires} {user}\" PX 3700000\r\n\
             ZADD neptun-auth:u:{user} {expires} {id}\r"
        )
        .unwrap();
    }
    let socket = TcpStream::connect(server.address()).unwrap();
    let mut writer = socket.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(commands.as_bytes()).unwrap());
    let answers = BufReader::new(socket).lines().take(2 * count);
    answers.for_each(|answer| assert!(!answer.unwrap().starts_with('-')));
    writing.join().unwrap();
}

fn id(number: usize) -> String {
    format!("{number:064x}")
}

/// The keys of a bystander: a session and an index.
const OTHERS: usize = 2;

fn count(server: &Server, command: &str) -> usize {
    let answer = server.ask(command).unwrap();
    answer.trim_start_matches(':').trim().parse().unwrap()
}

#[test]
fn ending_all_of_very_many_over_a_long_way_makes_progress_with_every_try_and_counts_each_once() {
    let server = Server::start(Brand::Redis, &[]);
    let way = Relay::to(server.address());
    let mut service = ready_service_on(&format!("redis://{}", way.address), &[]);
    let bystander = service.token_of("bystander");
    assert_eq!(count(&server, "DBSIZE"), OTHERS);
    fill(&server, "many", MANY);
    way.set_round_trip(Duration::from_millis(2));

    let (mut left, mut ended) = (MANY, 0);
    for tried in 1.. {
        assert!(tried <= 5, "{left} are left after five tries");
        let said = service.logged().len();
        let answer = revoke_all(&service, "many");
        if answer.status == 200 {
            ended += answer.json()["revoked"].as_u64().unwrap();
            break;
        }
        assert_eq!(answer.status, 500, "{answer:?}");
        ended += told_of_a_try(&mut service, said);
        let still = left_by(&server);
        assert!(still < left, "no progress");
        left = still;
    }
    assert_eq!(usize::try_from(ended).unwrap(), MANY);
    assert_eq!(service.ended_for("user"), ended);
    assert_eq!(count(&server, "DBSIZE"), OTHERS);
    assert_eq!(check(&service, &bystander).status, 204);
}

/// How many sessions of the user are left, once the try has told what it ended.
fn left_by(server: &Server) -> usize {
    let index = count(server, "EXISTS neptun-auth:u:many");
    count(server, "DBSIZE") - index - OTHERS
}

/// What the one line that has been written since says of a try that failed.
fn told_of_a_try(service: &mut Service, said: usize) -> u64 {
    const TOLD: &str = "sessions ended by";
    service.wait_for_line(TOLD);
    let told = parsed(&lines_with(&service.logged()[said..], &[TOLD]));
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0]["user"], "many");
    told[0]["count"].as_u64().unwrap()
}

fn list(service: &Service, user: &str) -> Value {
    let answer = ask_in_time(&Ask::list(user), service.admin);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[test]
fn a_list_of_very_many_has_the_thousand_that_expire_last_and_says_that_there_are_more() {
    let server = Server::start(Brand::Redis, &[]);
    let service = ready_service_on(&server.url(), &[]);
    fill(&server, "many", MANY);
    let listed = list(&service, "many");
    assert_eq!(listed["truncated"], true);
    let sessions = listed["sessions"].as_array().unwrap();
    let ids: HashSet<&str> = sessions
        .iter()
        .map(|session| session["id"].as_str().unwrap())
        .collect();
    assert_eq!(sessions.len(), LISTED);
    let last: Vec<String> = (MANY - LISTED..MANY).map(id).collect();
    assert!(last.iter().all(|id| ids.contains(id.as_str())));
}
