//! The power cut: what had reached the disk when the service stood still is all there is.

use std::path::Path;

use super::super::Scratch;
use super::super::mounted::{Mounted, make_image};
use super::start_at;
use crate::support::crowd::{Crowd, Told};
use crate::support::{Service, wait_within};

#[test]
fn after_a_power_cut_none_of_hundreds_of_acknowledged_logouts_is_back() {
    let scratch = Scratch::new("power-cut");
    let (disk, found) = (scratch.join("disk"), scratch.join("found"));
    make_image(&disk, 64 << 20);
    let mut told = Told::default();
    {
        let at = scratch.join("before");
        let _mounted = Mounted::image(&disk, &at);
        let service = start_at(&at.join("sessions"));
        let crowd = Crowd::start(&service);
        crowd.until_ended(500);
        stand_still(&service);
        // The image has what was synced; the pages that were only written are in the cache of the
        // file system above it, and not copied.
        std::fs::copy(&disk, &found).unwrap();
        service.signal("KILL");
        crowd.tell(&mut told);
    }
    assert!(told.ended() >= 500);
    let at = scratch.join("after");
    let _mounted = Mounted::image(&found, &at);
    told.assert_true_of(&start_at(&at.join("sessions")));
}

/// Stops the process, and waits until each of its threads has: one may be in the midst of a sync.
fn stand_still(service: &Service) {
    service.signal("STOP");
    let tasks = format!("/proc/{}/task", service.pid());
    let stopped = |task: &Path| {
        let stat = std::fs::read_to_string(task.join("stat")).unwrap();
        let (_, after_name) = stat.rsplit_once(") ").unwrap();
        after_name.starts_with('T')
    };
    wait_within(
        std::time::Duration::from_secs(10),
        "it stands still",
        || {
            let mut tasks = std::fs::read_dir(&tasks).unwrap();
            tasks.all(|task| stopped(&task.unwrap().path()))
        },
    );
}
