//! `neptun-auth sessions`: a user's sessions listed, ended, or one issued for trying out.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::request::{Answer, Request};
use super::table::table;
use super::{Outcome, Report};
use crate::config::{AdminListener, SessionsCommand};

/// For each of connecting, asking and being answered: longer than the service itself waits for its
/// store.
const PATIENCE: Duration = Duration::from_secs(30);

/// Does it, and prints what comes of it: a table on a terminal, JSON lines otherwise.
#[must_use]
pub fn sessions(command: &SessionsCommand, listener: &AdminListener) -> Report {
    let request = match command {
        SessionsCommand::List { user, .. } => Request::get(of_user(user)),
        SessionsCommand::End {
            user: Some(user), ..
        } => Request::new("DELETE", of_user(user)),
        SessionsCommand::End { id, .. } => {
            let id = encoded(id.as_deref().unwrap_or_default());
            Request::new("DELETE", format!("/admin/sessions/{id}"))
        }
        SessionsCommand::Issue { user, .. } => {
            let body = serde_json::json!({ "user": user }).to_string();
            Request::new("POST", "/admin/sessions".to_owned()).json(body)
        }
    };
    let request = request.authorized(&listener.token);
    let answer = match request.send(&listener.addresses, PATIENCE) {
        Ok(answer) => answer,
        Err(silence) => return Report::failed(&silence),
    };
    if !(200..300).contains(&answer.status) {
        return refused(&answer);
    }
    let is_json = command.is_json() || !io::stdout().is_terminal();
    match told(command, &answer.body, is_json) {
        Ok(told) => show(told),
        Err(error) => Report::failed(&format!("the answer is none of this service: {error}")),
    }
}

fn of_user(user: &str) -> String {
    format!("/admin/users/{}/sessions", encoded(user))
}

fn encoded(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

/// What the service said no to.
fn refused(answer: &Answer) -> Report {
    #[derive(Deserialize)]
    struct Envelope {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        message: String,
    }
    let outcome = match answer.status {
        404 => Outcome::None,
        400 | 414 | 422 => Outcome::WrongUse,
        _ => Outcome::Failed,
    };
    let said = serde_json::from_slice(&answer.body).map_or_else(
        |_| answer.status_line.clone(),
        |Envelope { data }| format!("{} ({})", data.message, answer.status),
    );
    Report::of(outcome, said)
}

/// What to print, and what to say beside it.
struct Told {
    text: String,
    report: Report,
}

fn told(command: &SessionsCommand, body: &[u8], is_json: bool) -> serde_json::Result<Told> {
    match command {
        SessionsCommand::List { user, .. } => listed(user, body, is_json),
        SessionsCommand::End { .. } => ended(body, is_json),
        SessionsCommand::Issue { .. } => issued(body, is_json),
    }
}

fn listed(user: &str, body: &[u8], is_json: bool) -> serde_json::Result<Told> {
    #[derive(Deserialize)]
    struct List {
        sessions: Vec<Box<RawValue>>,
        truncated: bool,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Session {
        id: String,
        created_at: String,
        last_seen_at: String,
        expires_at: String,
        #[serde(default)]
        label: Option<String>,
    }
    let list: List = serde_json::from_slice(body)?;
    let sessions = list.sessions.iter().map(|session| session.get());
    if list.sessions.is_empty() {
        let said = format!("{user} has no live session");
        return Ok(Told {
            text: String::new(),
            report: Report::of(Outcome::None, said),
        });
    }
    let text = if is_json {
        sessions.flat_map(|session| [session, "\n"]).collect()
    } else {
        let row = |session| {
            let session: Session = serde_json::from_str(session)?;
            let label = session.label.unwrap_or_default();
            Ok([
                session.id,
                session.created_at,
                session.last_seen_at,
                session.expires_at,
                label,
            ])
        };
        let rows = sessions.map(row).collect::<serde_json::Result<Vec<_>>>()?;
        table(["ID", "CREATED", "LAST SEEN", "EXPIRES", "LABEL"], &rows)
    };
    let mut report = Report::done();
    if list.truncated {
        report.said = Some("there are more: these are those that expire last".to_owned());
    }
    Ok(Told { text, report })
}

fn ended(body: &[u8], is_json: bool) -> serde_json::Result<Told> {
    #[derive(Deserialize)]
    struct Revoked {
        revoked: u64,
    }
    // One that was named by its id is answered without a body.
    let count = match body {
        [] => 1,
        body => serde_json::from_slice::<Revoked>(body)?.revoked,
    };
    let text = if is_json {
        format!("{{\"revoked\":{count}}}\n")
    } else {
        table(["ENDED"], &[[count.to_string()]])
    };
    let none = || Report::of(Outcome::None, "no such session was live".to_owned());
    let report = if count == 0 { none() } else { Report::done() };
    Ok(Told { text, report })
}

fn issued(body: &[u8], is_json: bool) -> serde_json::Result<Told> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Issued {
        id: String,
        set_cookie: String,
        expires_at: String,
    }
    let issued: Issued = serde_json::from_slice(body)?;
    let text = if is_json {
        format!("{}\n", String::from_utf8_lossy(body).trim_end())
    } else {
        let cookie = issued.set_cookie.split(';').next().unwrap_or_default();
        let row = [cookie.to_owned(), issued.expires_at, issued.id];
        table(["COOKIE", "EXPIRES", "ID"], &[row])
    };
    let report = Report::done();
    Ok(Told { text, report })
}

fn show(Told { text, report }: Told) -> Report {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => report,
        // It was done all the same.
        Err(error) => Report {
            said: Some(format!("what was done could not be printed: {error}")),
            ..report
        },
    }
}
