//! What a process uses, as Linux tells it, and how to let it have less.

use std::fs;
use std::process::Command;

/// What a process has used by now.
#[derive(Debug)]
pub struct Usage {
    pub resident_bytes: u64,
    /// The most that ever was resident.
    pub peak_bytes: u64,
    /// Time on a processor, in hundredths of a second.
    pub cpu_ticks: u64,
}

impl Usage {
    pub fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let bytes = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = value.unwrap().trim().trim_end_matches(" kB");
            kib.parse::<u64>().unwrap() * 1024
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // The name in parentheses may hold anything; utime and stime are the 14th and 15th field.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let times = fields.split(' ').skip(11).take(2);
        Self {
            resident_bytes: bytes("VmRSS:"),
            peak_bytes: bytes("VmHWM:"),
            cpu_ticks: times.map(|ticks| ticks.parse::<u64>().unwrap()).sum(),
        }
    }
}

/// `command` under the shell's `ulimit`s.
pub fn with_ulimit(command: &Command, ulimit: &str) -> Command {
    let mut limited = Command::new("/bin/sh");
    limited.args(["-c", &format!("ulimit {ulimit} && exec \"$0\" \"$@\"")]);
    limited
        .env_clear()
        .arg(command.get_program())
        .args(command.get_args());
    limited
}

/// `command` with a limit on the memory it may write to: all of its heap and stacks, resident or
/// not, which is stricter than a control group and needs no privilege.
pub fn in_memory_limit(command: &Command, bytes: u64) -> Command {
    with_ulimit(command, &format!("-d {}", bytes / 1024))
}
