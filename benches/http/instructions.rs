//! Instructions in user space for each request, counted by callgrind: the same on a busy machine.

use std::path::{Path, PathBuf};

use super::Scenario;
use super::bare;
use super::load::Load;
use super::servers::Server;

/// Connections at once; callgrind runs one thread at a time anyway.
const CONNECTIONS: usize = 16;

/// The counts of two runs are subtracted, so that starting and stopping do not count.
const FEW: usize = 1_000;
const MANY: usize = 6_000;

/// Prints the table.
pub fn report() {
    println!("| request | bare axum | neptun-auth | ratio |");
    println!("|---|---|---|---|");
    for scenario in Scenario::ALL {
        let theirs = per_request(scenario, false);
        let ours = per_request(scenario, true);
        println!(
            "| {} | {theirs:.0} | {ours:.0} | {:.2} |",
            scenario.name(),
            ours / theirs
        );
    }
}

fn per_request(scenario: Scenario, is_service: bool) -> f64 {
    let count = |requests| counted(scenario, is_service, requests);
    let difference = count(MANY) - count(FEW);
    difference / f64::from(u32::try_from(MANY - FEW).unwrap())
}

fn counted(scenario: Scenario, is_service: bool, requests: usize) -> f64 {
    let out = std::env::temp_dir().join(format!("neptun-auth-callgrind-{}", std::process::id()));
    let out_file = format!("--callgrind-out-file={}", out.display());
    // Fair, or the thread that writes the log hardly runs, and the counts differ by a fifth.
    let fair = "--fair-sched=yes";
    let wrapper = ["valgrind", "--tool=callgrind", fair, &out_file, "--quiet"];
    // Sessions come from the service under count, or from one that is not counted; the first are
    // issued in both runs alike.
    let issuing = Server::service(&[], &[]);
    let server = if is_service {
        Server::service(&wrapper, &[])
    } else {
        Server::myself(&wrapper, bare::FLAG)
    };
    let issuer = if is_service { &server } else { &issuing };
    let mut asked = scenario.requests(issuer, MANY);
    asked.truncate(requests);
    Load::new(server.public)
        .with_connections(CONNECTIONS)
        .run(&asked, scenario.expected());
    server.stop();
    total(&out)
}

fn total(out: &Path) -> f64 {
    let files = files_beginning_with(out);
    let mut total = 0.0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let line = text.lines().find_map(|line| {
            line.strip_prefix("summary: ")
                .or_else(|| line.strip_prefix("totals: "))
        });
        total += line.unwrap().trim().parse::<f64>().unwrap();
        std::fs::remove_file(file).unwrap();
    }
    total
}

fn files_beginning_with(out: &Path) -> Vec<PathBuf> {
    let name = out.file_name().unwrap().to_str().unwrap();
    let entries = std::fs::read_dir(out.parent().unwrap()).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(name)
        })
        .collect()
}
