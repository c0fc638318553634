//! Logs: one line an event on stderr, for a person or as JSON.
//!
//! Lines carry what is known of the request they belong to, which `main` hands in as a function;
//! this module knows neither HTTP nor sessions.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _};
use std::panic;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::LogFormat;

/// Hands name and value of what is known of the current request to its argument.
pub type DescribeRequest = fn(&mut dyn FnMut(&'static str, &str));

/// Starts logging for the whole process; panics are logged too, one line each.
pub fn start(filter: Targets, format: LogFormat, describe_request: DescribeRequest) {
    let is_terminal = io::stderr().is_terminal();
    let is_human = match format {
        LogFormat::Auto => is_terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let lines = Lines {
        is_human,
        describe_request,
    };
    let layer = tracing_subscriber::fmt::layer()
        .event_format(lines)
        .with_ansi(is_human && is_terminal)
        .with_writer(io::stderr);
    tracing_subscriber::registry()
        .with(filter)
        .with(layer)
        .init();

    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let message = info.payload_as_str().unwrap_or("(no message)");
        tracing::error!(place, panic = message, "panicked");
    }));
}

/// How an event becomes a line.
struct Lines {
    is_human: bool,
    describe_request: DescribeRequest,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now = OffsetDateTime::now_utc()
            .format(&Rfc3339)
            .unwrap_or_default();
        let mut fields = Fields::default();
        event.record(&mut fields);
        (self.describe_request)(&mut |name, value| fields.add(name, Value::Text(value)));
        let level = *event.metadata().level();
        let target = event.metadata().target();
        if self.is_human {
            human(&mut writer, &now, level, &fields)
        } else {
            json(&mut writer, &now, level, target, &fields)
        }
    }
}

fn human(writer: &mut Writer<'_>, now: &str, level: Level, fields: &Fields) -> fmt::Result {
    let color = match level {
        Level::ERROR => "31",
        Level::WARN => "33",
        Level::INFO => "32",
        _ => "34",
    };
    let message = &fields.message;
    let rest = &fields.human;
    if writer.has_ansi_escapes() {
        writeln!(
            writer,
            "\x1b[2m{now}\x1b[0m \x1b[{color}m{level:>5}\x1b[0m {message}\x1b[2m{rest}\x1b[0m"
        )
    } else {
        writeln!(writer, "{now} {level:>5} {message}{rest}")
    }
}

fn json(
    writer: &mut Writer<'_>,
    now: &str,
    level: Level,
    target: &str,
    fields: &Fields,
) -> fmt::Result {
    let message = quoted(&fields.message);
    let rest = &fields.json;
    writeln!(
        writer,
        r#"{{"timestamp":"{now}","level":"{level}","target":"{target}","message":{message}{rest}}}"#
    )
}

/// An event's fields, written down in both shapes as they come.
#[derive(Default)]
struct Fields {
    message: String,
    human: String,
    json: String,
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Text(&'a str),
    Plain(&'a dyn fmt::Display),
}

impl Fields {
    fn add(&mut self, name: &str, value: Value<'_>) {
        // Writing to a string does not fail.
        let _ = match value {
            // An empty text says nothing.
            Value::Text("") => Ok(()),
            Value::Text(text) => {
                let _ = write!(self.human, " {name}={}", unspaced(text));
                write!(self.json, r#","{name}":{}"#, quoted(text))
            }
            Value::Plain(value) => {
                let _ = write!(self.human, " {name}={value}");
                write!(self.json, r#","{name}":{value}"#)
            }
        };
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        self.record_str(field, &text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.add(name, Value::Text(value)),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), Value::Plain(&value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), Value::Plain(&value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), Value::Plain(&value));
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// A value a person can tell from the next field, on one line whatever it holds.
fn unspaced(text: &str) -> String {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'"');
    if plain { text.to_owned() } else { quoted(text) }
}
