//! Listeners that systemd or another parent has opened, and keeps open while the service restarts.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use command_fds::{CommandFdExt as _, FdMapping};

use crate::support::service::{binary, binary_with_token};
use crate::support::{Api, Ask, Connection, PATIENCE, Process, Scratch, Service, wait_until};

/// Who opens the listeners and starts the service.
struct Parent {
    public: TcpListener,
    admin: TcpListener,
}

impl Parent {
    fn new() -> Self {
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            public: listen(),
            admin: listen(),
        }
    }

    fn api(&self) -> Api {
        Api {
            public: self.public.local_addr().unwrap(),
            admin: self.admin.local_addr().unwrap(),
        }
    }

    /// A service as systemd starts one with both units.
    fn service(&self, args: &[&str]) -> Service {
        let mut command = binary_with_token();
        command.args(args);
        let sockets = [&self.public, &self.admin].map(|one| one.try_clone().unwrap().into());
        let names = ["neptun-auth.socket", "neptun-auth-admin.socket"].map(name_in);
        let service = Service::started(handing_over(&command, sockets, &names.join(":")));
        assert_eq!(service.public, self.api().public);
        assert_eq!(service.admin, self.api().admin);
        service
    }
}

fn deploy() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy"))
}

/// What a unit calls its socket.
fn name_in(unit: &str) -> String {
    let text = fs::read_to_string(deploy().join(unit)).unwrap();
    let mut lines = text.lines();
    let name = lines.find_map(|line| line.strip_prefix("FileDescriptorName="));
    name.unwrap().to_owned()
}

/// `command` with these sockets from descriptor 3 on.
fn handing_over<const N: usize>(command: &Command, sockets: [OwnedFd; N], names: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\""]);
    shell.arg(command.get_program()).args(command.get_args());
    shell.env_clear().env("LISTEN_FDS", N.to_string());
    shell.env("LISTEN_FDNAMES", names);
    let mappings = sockets.into_iter().zip(3..);
    let mappings = mappings.map(|(parent_fd, child_fd)| FdMapping {
        parent_fd,
        child_fd,
    });
    shell.fd_mappings(mappings.collect()).unwrap();
    shell
}

/// Clients that each ask over new connections, and panic if one is refused or not answered.
struct Load {
    is_over: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn on(api: Api) -> Self {
        let (is_over, answers) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let clients = (0..8).map(|number| {
            let (is_over, answers) = (Arc::clone(&is_over), Arc::clone(&answers));
            std::thread::spawn(move || {
                let mut ended = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    let issued = api.issue_as(&serde_json::json!({ "user": format!("{number}") }));
                    let token = issued["token"].as_str().unwrap().to_owned();
                    let mut kept = Connection::open(api.public);
                    let checked = kept.ask(&Ask::check(&token));
                    assert_eq!(checked.status, 204);
                    if checked.header("connection").is_none() {
                        let ask = Ask::check(&token).header("connection", "close");
                        assert_eq!(kept.ask(&ask).status, 204);
                    }
                    assert_eq!(api.logout(&token).body, "true");
                    assert_eq!(api.logout(&token).body, "false");
                    answers.fetch_add(4, Ordering::Relaxed);
                    ended.push(token);
                }
                ended
            })
        });
        Self {
            clients: clients.collect(),
            is_over,
            answers,
        }
    }

    /// Waits until so many more requests were answered.
    fn goes_on(&self, more: usize) {
        let before = self.answers.load(Ordering::Relaxed);
        wait_until("requests are answered", || {
            let gave_up = self.clients.iter().any(JoinHandle::is_finished);
            assert!(!gave_up, "a client met a refusal");
            self.answers.load(Ordering::Relaxed) >= before + more
        });
    }

    /// The sessions whose logout was answered `true`.
    fn end(self) -> Vec<String> {
        self.is_over.store(true, Ordering::Relaxed);
        let clients = self.clients.into_iter();
        clients.flat_map(|client| client.join().unwrap()).collect()
    }
}

#[test]
fn through_five_restarts_under_load_every_request_is_answered_and_no_session_comes_back() {
    let scratch = Scratch::new("handed-over");
    let store = format!("file:{}", scratch.join("sessions").display());
    let args = ["--store", &*store, "--store-timeout", "8s"];
    let parent = Parent::new();
    let mut service = parent.service(&args);
    let live = service.token_of("42");
    let load = Load::on(parent.api());
    for _ in 0..5 {
        load.goes_on(100);
        let (status, log) = service.stop();
        assert_eq!(status.code(), Some(0), "{log:#?}");
        service = parent.service(&args);
    }
    load.goes_on(100);
    let ended = load.end();
    assert!(service.is_live(&live));
    assert!(ended.iter().all(|token| !service.is_live(token)));
}

#[test]
fn what_waits_in_the_queue_is_answered_by_the_next_process() {
    let parent = Parent::new();
    let service = parent.service(&[]);
    // While it is stopped, connections and the signal pile up.
    service.signal("STOP");
    let connect = |_| {
        let mut connection = Connection::open(parent.api().public);
        connection.write(&Ask::get("/api/auth/check").bytes());
        connection
    };
    let mut waiting: Vec<Connection> = (0..50).map(connect).collect();
    service.signal("TERM");
    service.signal("CONT");
    assert_eq!(service.wait().0.code(), Some(0));
    // Nobody serves, and nobody is refused.
    waiting.extend((0..50).map(connect));
    let _service = parent.service(&[]);
    for connection in &mut waiting {
        assert_eq!(connection.answer_to("GET").status, 401);
    }
}

#[test]
fn one_listener_may_be_handed_over_and_the_other_opened() {
    let public = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = public.local_addr().unwrap();
    let mut command = binary_with_token();
    command.args(["--admin-listen", "127.0.0.1:0"]);
    let service = Service::started(handing_over(&command, [public.into()], "public"));
    assert_eq!(service.public, address);
    assert!(service.is_live(&service.token_of("42")));
}

#[test]
fn what_is_no_listener_of_ours_is_one_line_and_exit_code_2() {
    let listener = || -> OwnedFd { TcpListener::bind("127.0.0.1:0").unwrap().into() };
    let anywhere: OwnedFd = TcpListener::bind("0.0.0.0:0").unwrap().into();
    let file: OwnedFd = fs::File::open("/dev/null").unwrap().into();
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = std::net::TcpStream::connect(peer.local_addr().unwrap()).unwrap();
    let settings = binary();
    for (sockets, names, said) in [
        (
            [listener(), listener()],
            "public:public",
            "LISTEN_FDS: `public` is the name of two sockets",
        ),
        (
            [listener(), listener()],
            "public:web",
            "LISTEN_FDS: `web` is no listener: name each socket public or admin, ",
        ),
        (
            [listener(), listener()],
            "",
            "LISTEN_FDS: `` is no listener: ",
        ),
        (
            [listener(), file],
            "public:admin",
            "LISTEN_FDS: `admin` cannot be used: ",
        ),
        (
            [connected.into(), listener()],
            "public:admin",
            "LISTEN_FDS: `public` does not listen",
        ),
        (
            [listener(), anywhere],
            "public:admin",
            "--admin-listen (NEPTUN_AUTH_ADMIN_LISTEN): 0.0.0.0:",
        ),
    ] {
        let output = handing_over(&settings, sockets, names).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.starts_with(&format!("neptun-auth: {said}")), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn what_is_meant_for_another_process_is_left_alone() {
    let mut command = binary_with_token();
    // A shell that systemd started, say, from which this one was started in turn.
    command.envs([
        ("LISTEN_FDS", "2"),
        ("LISTEN_FDNAMES", "a:b"),
        ("LISTEN_PID", "1"),
    ]);
    let service = Service::spawn(command);
    assert!(service.is_live(&service.token_of("42")));
}

#[test]
fn it_says_when_it_is_ready_and_when_it_stops() {
    let scratch = Scratch::new("notify");
    let path = scratch.join("socket");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let hear = || {
        let mut said = [0; 64];
        let length = manager.recv(&mut said).unwrap();
        String::from_utf8(said[..length].to_vec()).unwrap()
    };
    let mut command = binary_with_token();
    command.env("NOTIFY_SOCKET", &path);
    let service = Service::spawn(command);
    assert_eq!(hear(), "READY=1\n");
    service.signal("TERM");
    assert_eq!(hear(), "STOPPING=1\n");
    assert_eq!(service.wait().0.code(), Some(0));
}

#[test]
fn systemds_own_tool_hands_listeners_over() {
    let parent = Parent::new();
    let Api { public, admin } = parent.api();
    drop(parent);
    let mut command = Command::new("systemd-socket-activate");
    command.args(["--fdname=public:admin", "--listen"]);
    command.args([&public.to_string(), "--listen", &admin.to_string()]);
    command.args(binary().get_program().to_str());
    let mut process = Process::start(command);
    process.wait_for_line(&format!("Listening on {admin}"));
    // The first connection has it start the service.
    let answer = Ask::get("/healthz").send(admin);
    assert_eq!(answer.status, 200);
    let up = Api::named_by(&process.wait_for_line("neptun-auth is up"));
    assert_eq!((up.public, up.admin), (public, admin));
}

#[test]
fn the_units_are_sound_and_harden_the_service() {
    let scratch = Scratch::new("units");
    for unit in [
        "neptun-auth.service",
        "neptun-auth.socket",
        "neptun-auth-admin.socket",
    ] {
        let text = fs::read_to_string(deploy().join(unit)).unwrap();
        let binary = binary().get_program().to_str().unwrap().to_owned();
        let text = text.replace("/usr/local/bin/neptun-auth", &binary);
        fs::write(scratch.join(unit), text).unwrap();
    }
    let analyze = |args: &[&str]| {
        let output = Command::new("systemd-analyze")
            .args(args)
            .arg(scratch.join("neptun-auth.service"))
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(output.status.success(), "{said}");
        said
    };
    assert_eq!(analyze(&["verify"]), "");
    // Up to 4.9 systemd calls it OK.
    analyze(&["security", "--offline=true", "--threshold=49"]);
}
