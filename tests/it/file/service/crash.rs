//! Processes that are killed, or told to end, while a crowd logs in and out.

use super::super::Scratch;
use super::start_at;
use crate::support::crowd::{Crowd, Told};

#[test]
fn eight_kills_under_load_bring_nobody_back_and_lose_nobody() {
    let scratch = Scratch::new("kills");
    let path = scratch.join("sessions");
    let mut told = Told::default();
    let mut service = start_at(&path);
    for round in 0..8 {
        let crowd = Crowd::start(&service);
        crowd.until_ended(100 + 20 * round);
        service.signal("KILL");
        crowd.tell(&mut told);
        drop(service);
        service = start_at(&path);
        told.assert_true_of(&service);
    }
    assert!(told.ended() > 1000, "{}", told.ended());
}

#[test]
fn a_stop_under_load_loses_nothing_that_was_answered() {
    let scratch = Scratch::new("stop");
    let path = scratch.join("sessions");
    let mut told = Told::default();
    for _ in 0..3 {
        let service = start_at(&path);
        let crowd = Crowd::start(&service);
        crowd.until_ended(100);
        let (status, log) = service.stop();
        assert!(status.success(), "{log:#?}");
        crowd.tell(&mut told);
        told.assert_true_of(&start_at(&path));
    }
}
