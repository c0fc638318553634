//! The settings as text: flags first, then environment variables, then defaults.
//!
//! Values are only collected here, never judged, so that all faults can be told at once and no
//! parser's error message can print a secret. `clap` does the collecting and the `--help`.

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{
    Arg, ArgAction, ArgGroup, ArgMatches, CommandFactory as _, FromArgMatches as _, Parser,
    Subcommand,
};

use super::{names, variable_of};

/// Ends sessions, truthfully: the logout service of Neptun.
///
/// Every setting can be given as a flag or as the environment variable named beside it; the
/// flag wins. Durations are written like 500ms, 90s, 15m, 12h or 7d.
#[derive(Parser)]
#[command(
    name = "neptun-auth",
    version,
    max_term_width = 100,
    mut_args(with_variable)
)]
pub struct Flags {
    /// What to do; without it, run the service.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Address of the public listener: logout and check
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    #[arg(help_heading = "Listeners")]
    pub listen: String,

    /// Address of the admin listener: issue, list and revoke sessions, health, metrics. Never
    /// route it to the public; without an admin token it must be a loopback address
    #[arg(long, value_name = "HOST:PORT", global = true)]
    #[arg(default_value = "127.0.0.1:8081", help_heading = "Listeners")]
    pub admin_listen: String,

    /// Bearer token of the /admin routes, at least 16 characters; without one they answer 403.
    /// Prefer the file: command lines are visible to other users of the machine
    #[arg(long, value_name = "TOKEN", hide_env_values = true)]
    #[arg(help_heading = "Listeners", global = true)]
    pub admin_token: Option<String>,

    /// File that holds the admin token, or several, one a line, any of which is right: a new one
    /// can be in use before the old one goes
    #[arg(long, value_name = "PATH", help_heading = "Listeners", global = true)]
    pub admin_token_file: Option<String>,

    /// File that holds tokens, one a line, with which nothing but GET is answered under /admin
    #[arg(long, value_name = "PATH", help_heading = "Listeners")]
    pub reader_token_file: Option<String>,

    /// Where sessions are kept: `memory:` (forgotten at restart), `file:PATH` (on this machine's
    /// disk: what was answered survives a crash), or `redis://HOST` and its kin (shared by many
    /// replicas)
    #[arg(long, value_name = "URL", hide_env_values = true)]
    #[arg(default_value = "memory:", help_heading = "Store")]
    pub store: String,

    /// Deadline of one call to the store, past which it counts as failed; at most four fifths of
    /// the request timeout, which all calls of one request have together
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    #[arg(help_heading = "Store")]
    pub store_timeout: String,

    /// Most sessions, and revocations of sealed ones, that the memory and file stores keep; past it
    /// issuing answers 503. None that is live is ever evicted
    #[arg(long, value_name = "COUNT", default_value = "10000000")]
    #[arg(help_heading = "Store")]
    pub max_sessions: String,

    /// What the name of every key in Redis begins with
    #[arg(long, value_name = "PREFIX", default_value = "neptun-auth:")]
    #[arg(help_heading = "Store")]
    pub redis_prefix: String,

    /// A login, logout or revocation is acknowledged only once so many Redis replicas have it
    #[arg(long, value_name = "COUNT", default_value = "0")]
    #[arg(help_heading = "Store")]
    pub redis_wait_replicas: String,

    /// Not to be ready while Redis does not promise that an acknowledged logout stays: true or
    /// false
    #[arg(long, value_name = "BOOL", default_value = "false")]
    #[arg(help_heading = "Store")]
    pub redis_require_durable: String,

    /// Lifetime of a session that is issued without one of its own, 1s to 36500d
    #[arg(long, value_name = "DURATION", default_value = "7d")]
    #[arg(help_heading = "Sessions")]
    pub session_ttl: String,

    /// How long an issued session may go unused before it is over; `off` for as long as it lives
    #[arg(long, value_name = "DURATION", default_value = "off")]
    #[arg(help_heading = "Sessions")]
    pub idle_timeout: String,

    /// Sessions and sealed cookies made before this moment are over, which logs everybody out
    /// who has not logged in since: 2026-11-26T06:00:00Z
    #[arg(long, value_name = "MOMENT", help_heading = "Sessions")]
    pub sessions_since: Option<String>,

    /// Name of the session cookie
    #[arg(long, value_name = "NAME", default_value = "neptun-session")]
    #[arg(help_heading = "Cookie")]
    pub cookie_name: String,

    /// Path attribute of the session cookie
    #[arg(long, value_name = "PATH", default_value = "/")]
    #[arg(help_heading = "Cookie")]
    pub cookie_path: String,

    /// Domain attribute of the session cookie; without it only the host that set it gets it
    #[arg(long, value_name = "DOMAIN", help_heading = "Cookie")]
    pub cookie_domain: Option<String>,

    /// `SameSite` attribute of the session cookie: lax, strict or none (none needs secure)
    #[arg(long, value_name = "MODE", default_value = "lax")]
    #[arg(help_heading = "Cookie")]
    pub cookie_same_site: String,

    /// Secure attribute of the session cookie: true or false. A browser drops a Secure cookie
    /// that arrives over plain http from anywhere but localhost
    #[arg(long, value_name = "BOOL", default_value = "true")]
    #[arg(help_heading = "Cookie")]
    pub cookie_secure: String,

    /// Password of sealed cookies (`NUXT_SESSION_PASSWORD` of the web app, which is read too), at
    /// least 32 characters; sealed sessions are accepted and can be revoked. Give it several
    /// times, newest first, to change it. Prefer the file
    #[arg(long, value_name = "PASSWORD", hide_env_values = true)]
    #[arg(help_heading = "Sealed cookies")]
    pub sealed_password: Vec<String>,

    /// File that holds the passwords of sealed cookies, one a line, newest first
    #[arg(long, value_name = "PATH", help_heading = "Sealed cookies")]
    pub sealed_password_file: Option<String>,

    /// The variable that the web app reads its password from
    #[arg(long, env = "NUXT_SESSION_PASSWORD", hide = true)]
    #[arg(hide_env_values = true)]
    pub nuxt_session_password: Option<String>,

    /// Where a sealed session names its user: a JSON pointer
    #[arg(long, value_name = "POINTER", default_value = "/data/user/id")]
    #[arg(help_heading = "Sealed cookies")]
    pub sealed_user: String,

    /// Origins of web pages that may call this service from a browser, separated by commas,
    /// exactly as the browser sends them: `https://app.example.com`
    #[arg(long, value_name = "ORIGINS", help_heading = "Browsers")]
    pub allowed_origins: Option<String>,

    /// Most connections at once, on each listener for itself
    #[arg(long, value_name = "COUNT", default_value = "10000")]
    #[arg(help_heading = "Limits")]
    pub max_connections: String,

    /// Time for the head of a request to arrive, and for its first byte after connecting
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    #[arg(help_heading = "Limits")]
    pub header_timeout: String,

    /// Time to read a request's body and answer it, and again for the client to take the answer
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    #[arg(help_heading = "Limits")]
    pub request_timeout: String,

    /// How long a connection may stay idle between requests; keep it above the proxy's own
    #[arg(long, value_name = "DURATION", default_value = "75s")]
    #[arg(help_heading = "Limits")]
    pub keep_alive_timeout: String,

    /// Longest time from SIGTERM, SIGINT or SIGHUP to the exit
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    #[arg(help_heading = "Limits")]
    pub shutdown_timeout: String,

    /// Which log lines are written: error, warn, info, debug or trace, or for parts of the
    /// service: `info,neptun_auth=debug`
    #[arg(long, value_name = "FILTER", default_value = "info")]
    #[arg(help_heading = "Logs")]
    pub log: String,

    /// How log lines look: human, json, or auto (human on a terminal, JSON otherwise)
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    #[arg(help_heading = "Logs")]
    pub log_format: String,
}

impl Flags {
    /// What the command line and the environment say, with what tells where each setting comes
    /// from; or, in one line, what is wrong with the command line. Shows the help or the version
    /// and ends the process if that is what was asked for.
    pub fn read() -> Result<(Self, ArgMatches), String> {
        let read = || {
            let matches = command_line().try_get_matches()?;
            Ok((Self::from_arg_matches(&matches)?, matches))
        };
        read().map_err(|error: clap::Error| {
            if !error.use_stderr() {
                error.exit();
            }
            names::misuse(&Self::command(), &error)
        })
    }
}

/// The command line as it is read: a value may begin with a hyphen, so that `-1s` is judged like
/// any other and not taken for a flag, and may hold any bytes, so that it is judged by its name.
fn command_line() -> clap::Command {
    let text = OsStringValueParser::new().map(|text| text.to_string_lossy().into_owned());
    Flags::command().mut_args(|arg| match arg.get_action() {
        ArgAction::Set | ArgAction::Append => {
            arg.allow_hyphen_values(true).value_parser(text.clone())
        }
        _ => arg,
    })
}

/// Names the environment variable of a setting after its flag.
fn with_variable(arg: Arg) -> Arg {
    match arg.get_long().filter(|_| arg.get_env().is_none()) {
        Some(flag) => {
            let variable = variable_of(flag);
            arg.env(variable)
        }
        None => arg,
    }
}

/// What else the binary does.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Ask the running service whether it is ready; exit code 0 if so, 1 if not
    Healthcheck,
    /// List, end or issue sessions, over the admin listener of the running service
    ///
    /// Address and token come from the settings of the service, of several tokens in a file the
    /// first. Prints a table on a terminal, JSON lines otherwise. Exit codes: 0 done; 1 not
    /// confirmed, refused or not answered; 2 wrong use; 3 there is none.
    #[command(subcommand)]
    Sessions(SessionsCommand),
}

/// What is to be done with sessions.
#[derive(Clone, Debug, Subcommand)]
pub enum SessionsCommand {
    /// List the live sessions of a user
    List {
        /// Whose
        user: String,
        /// Print JSON lines, on a terminal too
        #[arg(long)]
        json: bool,
    },
    /// End one session, or all of a user, sealed cookies among them, which are not counted
    #[command(group = ArgGroup::new("which").required(true))]
    End {
        /// The id of a session, as `list` and the log show it
        #[arg(group = "which")]
        id: Option<String>,
        /// All sessions of this user
        #[arg(long, group = "which")]
        user: Option<String>,
        /// Print JSON lines, on a terminal too
        #[arg(long)]
        json: bool,
    },
    /// Issue a session, for trying out: prints its cookie
    Issue {
        /// To whom
        user: String,
        /// Print JSON lines, on a terminal too
        #[arg(long)]
        json: bool,
    },
}

impl SessionsCommand {
    /// Whether JSON was asked for.
    #[must_use]
    pub const fn is_json(&self) -> bool {
        let (Self::List { json, .. } | Self::End { json, .. } | Self::Issue { json, .. }) = self;
        *json
    }
}
