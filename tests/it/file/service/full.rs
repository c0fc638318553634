//! A disk that is full: each write says so, nothing else suffers, and it passes by itself.

use std::path::Path;
use std::time::Duration;

use super::super::Scratch;
use super::super::mounted::Mounted;
use super::start_at;
use crate::support::{Ask, Service, assert_envelope, wait_within};

/// Takes all the space that is left.
fn fill(ballast: &Path) {
    let mut ballast = std::fs::File::create(ballast).unwrap();
    // Ends with an error, which is the point.
    let _ = std::io::copy(&mut std::io::repeat(0), &mut ballast);
}

/// Logs in until the disk takes no more; the tokens it got.
fn log_in_until_refused(service: &Service) -> Vec<String> {
    let mut tokens = Vec::new();
    loop {
        assert!(tokens.len() < 30_000, "the disk is never full");
        let answer = Ask::login("42").send(service.admin);
        if answer.status != 201 {
            let sentence = "The session store is unavailable";
            assert_envelope(&answer, 503, "Service Unavailable", sentence);
            return tokens;
        }
        tokens.push(answer.json()["token"].as_str().unwrap().to_owned());
    }
}

#[test]
fn on_a_full_disk_a_logout_is_true_or_a_500_and_checks_go_on_until_there_is_space() {
    let scratch = Scratch::new("full-service");
    let _mounted = Mounted::tmpfs(&scratch, "2m");
    let path = scratch.join("sessions");
    let service = start_at(&path);
    let bystander = service.token_of("bystander");
    let mut tokens: Vec<String> = (0..300).map(|_| service.token_of("42")).collect();
    let ballast = scratch.join("ballast");
    fill(&ballast);
    tokens.extend(log_in_until_refused(&service));

    let (mut ended, mut unsure) = (Vec::new(), Vec::new());
    for token in tokens.drain(..tokens.len() / 2) {
        let answer = service.logout(&token);
        if answer.status == 200 {
            assert_eq!(answer.body, "true");
            assert!(answer.header("set-cookie").is_some());
            assert!(!service.is_live(&token));
            ended.push(token);
        } else {
            let sentence = "Session could not be cleared";
            assert_envelope(&answer, 500, "Internal Server Error", sentence);
            unsure.push(token);
        }
        assert!(service.is_live(&bystander));
    }
    assert!(!unsure.is_empty(), "every logout found space");
    assert_eq!(service.status_of("/healthz"), 200);

    std::fs::remove_file(&ballast).unwrap();
    let retried = unsure.pop().unwrap();
    wait_within(Duration::from_secs(2), "logout works again", || {
        service.logout(&retried).status == 200
    });
    for token in unsure {
        let was_live = service.is_live(&token);
        assert_eq!(service.logout(&token).body, was_live.to_string());
        ended.push(token);
    }
    ended.push(retried);
    service.token_of("42");
    let (status, log) = service.stop();
    assert!(status.success(), "{log:#?}");
    let is_no_audit =
        |line: &&String| !line.contains("session issued") && !line.contains("session ended");
    let others: Vec<&String> = log.iter().filter(is_no_audit).collect();
    assert!(others.len() < 30, "{others:#?}");

    let service = start_at(&path);
    assert!(ended.iter().all(|token| !service.is_live(token)));
    assert!(tokens.iter().all(|token| service.is_live(token)));
    assert!(service.is_live(&bystander));
}
