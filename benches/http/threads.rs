//! What a second worker thread is worth.
//!
//! With two cores the load takes its part of them, so twice the throughput is not to be had.
//! What shows instead is the processor time that the service spends on a request: if two threads
//! stood in each other's way, each request would take more of it. Twice the time with one thread,
//! which has a core for itself, over the time with two, which share both cores with the load, is
//! what two threads do in the time of one. That they do not wait for each other idly shows in how
//! busy both cores are.

use super::Scenario;
use super::load::{Load, median};
use super::servers::{Server, pin, processor_time};

const ROUNDS: usize = 9;
const REQUESTS: usize = 60_000;

/// Prints the table.
pub fn report() {
    println!("| request | one thread | two threads | two do the work of | cores busy |");
    println!("|---|---|---|---|---|");
    for scenario in [
        Scenario::CheckLive,
        Scenario::LogoutUnknown,
        Scenario::LogoutLive,
    ] {
        let one = Server::service(
            &["env", "TOKIO_WORKER_THREADS=1", "taskset", "-c", "0"],
            &[],
        );
        let two = Server::service(&["env", "TOKIO_WORKER_THREADS=2"], &[]);
        let (mut alone, mut both) = (Vec::new(), Vec::new());
        let (mut gains, mut busy) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            pin(&[1]);
            let (cost_alone, _) = cost(scenario, &one);
            pin(&[0, 1]);
            let (cost_both, cores) = cost(scenario, &two);
            gains.push(2.0 * cost_alone / cost_both);
            alone.push(cost_alone);
            both.push(cost_both);
            busy.push(cores);
        }
        println!(
            "| {} | {:.1} us | {:.1} us | {:.2} | {:.2} |",
            scenario.name(),
            median(&mut alone),
            median(&mut both),
            median(&mut gains),
            median(&mut busy)
        );
    }
}

/// Processor time for a request, in microseconds, and how many cores the service and the load
/// kept busy.
fn cost(scenario: Scenario, server: &Server) -> (f64, f64) {
    let requests = scenario.requests(server, REQUESTS);
    let both = [server.pid(), std::process::id()];
    let before = both.map(processor_time);
    let slice = Load::new(server.public).run(&requests, scenario.expected());
    let after = both.map(processor_time);
    let used = |which: usize| after[which].saturating_sub(before[which]).as_secs_f64();
    let asked = f64::from(u32::try_from(REQUESTS).unwrap());
    let cores = (used(0) + used(1)) * slice.per_second() / asked;
    (used(0) * 1e6 / asked, cores)
}
