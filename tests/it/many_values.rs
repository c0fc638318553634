//! Requests that present more values than any client has, or that ask the store more than once.

use std::time::{Duration, Instant};

use neptun_auth::session::SessionToken;

use crate::support::faulty::{Fault, FaultyService};
use crate::support::{Answer, Ask, PATIENCE, assert_envelope, unknown_token, wait_until};

/// How many calls of one request the store has at a time.
const AT_ONCE: usize = 4;

const REQUEST_TIMEOUT: Duration = Duration::from_millis(800);

/// Whose store may take longer than its requests.
fn with_little_time() -> FaultyService {
    FaultyService::with_timeouts(PATIENCE, REQUEST_TIMEOUT)
}

fn token(text: &str) -> SessionToken {
    SessionToken::from_cookie_value(text.as_bytes()).unwrap()
}

fn logout(tokens: &[String]) -> Ask {
    Ask::post("/api/auth/logout").sessions(tokens)
}

fn check(tokens: &[String]) -> Ask {
    Ask::get("/api/auth/check").sessions(tokens)
}

/// Asks, and holds the answer to four fifths of the request's time and something.
fn ask_in_time(service: &FaultyService, ask: &Ask) -> Answer {
    let begun = Instant::now();
    let answer = ask.send(service.public);
    assert!(begun.elapsed() < REQUEST_TIMEOUT, "{:?}", begun.elapsed());
    answer
}

#[test]
fn a_value_without_the_shape_of_a_token_asks_no_store() {
    let service = FaultyService::start();
    service.fail(Fault::Refuses);
    let token = unknown_token(1);
    let shapeless = [
        "forged".to_owned(),
        token[1..].to_owned(),
        format!("{token}A"),
        format!("{token}="),
        // Bits beyond the 256th, and an alphabet that is not ours.
        format!("{}B", &token[..42]),
        format!("{}+A", &token[..41]),
        "Fe26.2*1*a-seal".to_owned(),
        "%75".to_owned() + &token[1..],
    ];
    for value in &shapeless {
        let one = std::slice::from_ref(value);
        assert_eq!(logout(one).send(service.public).body, "false", "{value}");
        assert_eq!(check(one).send(service.public).status, 401, "{value}");
    }
    assert_eq!(logout(&shapeless).send(service.public).body, "false");
    assert_eq!(check(&shapeless).send(service.public).status, 401);
    let both = [shapeless[0].clone(), token];
    assert_eq!(logout(&both).send(service.public).status, 500);
    assert_eq!(check(&both).send(service.public).status, 503);
}

#[test]
fn a_logout_of_many_has_few_calls_at_once_one_deadline_and_ends_them_all_the_same() {
    let service = with_little_time();
    let tokens: Vec<String> = (0..20).map(|_| service.token_of("42")).collect();
    service.fail(Fault::Waits);
    let failed = ask_in_time(&service, &logout(&tokens));
    let sentence = "Session could not be cleared";
    assert_envelope(&failed, 500, "Internal Server Error", sentence);
    assert_eq!(service.waiting(), AT_ONCE);

    service.release(AT_ONCE, Fault::None);
    wait_until("all are over", || {
        !tokens.iter().any(|token| service.is_live(token))
    });
}

#[test]
fn a_logout_of_many_is_refused_at_once_while_a_thousand_are_unfinished() {
    let service = FaultyService::patient();
    service.fail(Fault::Waits);
    let two = || [1, 2].map(|number| token(&unknown_token(number)));
    service.runtime.block_on(async {
        let thousand = (0..1_000).map(|_| service.sessions.revoke(two()));
        let mut thousand: Vec<_> = thousand.map(Box::pin).collect();
        for logout in &mut thousand {
            assert!(futures_util::poll!(logout).is_pending());
        }
        // Given up, and not finished.
        drop(thousand);
        let refused = service.sessions.revoke(two()).await;
        assert_eq!(refused.unwrap_err().class(), "overloaded");
        // One value is no more to do than its request.
        let mut one = Box::pin(service.sessions.revoke([token(&unknown_token(1))]));
        assert!(futures_util::poll!(&mut one).is_pending());
        service.release(2_001, Fault::None);
        assert!(!one.await.unwrap());
        let settled = async {
            while service.sessions.revoke(two()).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, settled).await.unwrap();
    });
}

#[test]
fn a_check_of_many_has_few_calls_at_once_and_one_deadline() {
    let service = with_little_time();
    let mut tokens: Vec<String> = (0..250).map(unknown_token).collect();
    tokens.push(service.token_of("42"));
    service.fail(Fault::Waits);
    let answer = ask_in_time(&service, &check(&tokens));
    let sentence = "The session store is unavailable";
    assert_envelope(&answer, 503, "Service Unavailable", sentence);
    assert_eq!(service.waiting(), AT_ONCE);
    service.fail(Fault::None);
    assert_eq!(ask_in_time(&service, &check(&tokens)).status, 204);
}

#[test]
fn equal_values_are_asked_about_once() {
    let service = with_little_time();
    let token = service.token_of("42");
    service.fail(Fault::Waits);
    let ten: Vec<String> = vec![token; 10];
    assert_eq!(ask_in_time(&service, &check(&ten)).status, 503);
    assert_eq!(ask_in_time(&service, &logout(&ten)).status, 500);
    assert_eq!(service.waiting(), 2);
}

#[test]
fn a_check_whose_touch_comes_too_late_passes_with_a_warning() {
    let service = with_little_time();
    let token = [service.token_of("42")];
    service.clock.advance(Duration::from_mins(2));
    service.fail(Fault::WaitsToTouch);
    for _ in 0..3 {
        let answer = ask_in_time(&service, &check(&token));
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("remote-user"), Some("42"));
    }
    let told = service.logged(&["last use not recorded"]);
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn a_check_whose_store_is_slower_than_its_request_is_503() {
    let service = with_little_time();
    let token = [service.token_of("42")];
    service.fail(Fault::Waits);
    assert_eq!(ask_in_time(&service, &check(&token)).status, 503);
}
