//! A program that a test starts: heard line by line, signalled, and ended with the test.

use std::io::{self, BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use super::{PATIENCE, wait_until};

/// What a line may take from a program that has ended to who shows it.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// A running program.
pub struct Process {
    name: String,
    child: Child,
    /// Behind a lock only so that threads of a test can share the process.
    lines: Mutex<Receiver<String>>,
    heard: Vec<String>,
}

impl Process {
    /// Starts a program, and hears what it writes to stdout and stderr.
    pub fn start(mut command: Command) -> Self {
        let (output, writer) = io::pipe().unwrap();
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        Self::heard_over(output, command)
    }

    /// The same of a program that the command has write to where `output` reads.
    pub fn heard_over(output: impl Read + Send + 'static, mut command: Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        // It holds the other end of the output, whose end would never be seen.
        drop(command);
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(output).split(b'\n').map_while(Result::ok);
            for line in lines {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            name,
            child,
            lines: Mutex::new(lines),
            heard: Vec::new(),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that contains `text`; what came up to and with it.
    pub fn lines_until(&mut self, text: &str) -> Vec<String> {
        let begin = self.heard.len();
        loop {
            let line = self.lines.get_mut().unwrap().recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("{} wrote no {text:?}", self.name));
            let is_it = line.contains(text);
            self.heard.push(line);
            if is_it {
                return self.heard[begin..].to_vec();
            }
        }
    }

    /// Waits for a line that contains `text`.
    pub fn wait_for_line(&mut self, text: &str) -> String {
        self.lines_until(text).pop().unwrap()
    }

    /// All that it has written by now.
    pub fn heard(&mut self) -> &[String] {
        self.heard.extend(self.lines.get_mut().unwrap().try_iter());
        &self.heard
    }

    /// Waits until it serves, and fails at once if it ends instead.
    pub fn wait_until_up(&mut self, mut serves: impl FnMut() -> bool) {
        let what = format!("{} serves", self.name);
        wait_until(&what, || {
            self.assert_runs();
            serves()
        });
        // What answered may be somebody else who has the port; then this one has ended.
        self.assert_runs();
    }

    pub fn assert_runs(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{} ended: {status}", self.name);
        }
    }

    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.unwrap().success());
    }

    /// Ends it with SIGTERM; how it ended, and all it wrote.
    pub fn stop(self) -> (ExitStatus, Vec<String>) {
        self.signal("TERM");
        self.wait()
    }

    /// How it ended, and all it wrote.
    pub fn wait(mut self) -> (ExitStatus, Vec<String>) {
        let what = format!("{} ends", self.name);
        wait_until(&what, || self.child.try_wait().unwrap().is_some());
        self.heard.extend(self.lines.get_mut().unwrap().iter());
        (self.child.wait().unwrap(), std::mem::take(&mut self.heard))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; either way nothing is left running.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let lines = self.lines.get_mut().unwrap();
            let rest = std::iter::from_fn(|| lines.recv_timeout(LAST_WORDS).ok());
            self.heard.extend(rest);
            println!("output of {}: {:#?}", self.name, self.heard);
        }
    }
}

/// Runs a program to its end, which must be good; what it wrote to stdout.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}\n{errors}");
    said
}

/// A test of this very binary, one that is ignored, as a process of its own.
pub fn rerun(test: &str) -> Command {
    let mut itself = Command::new(std::env::current_exe().unwrap());
    itself.args(["--exact", test, "--ignored", "--nocapture"]);
    itself
}

#[test]
#[should_panic(expected = "sh ended: exit status: 3")]
fn a_program_that_ends_at_once_is_not_waited_for() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exit 3"]);
    Process::start(shell).wait_until_up(|| false);
}
