//! Logs: one line an event on stderr, for a person or as JSON.
//!
//! Lines carry what is known of the request they belong to, which `main` hands in as a function;
//! this module knows neither HTTP nor sessions. How a line looks is `line`'s business, how it
//! gets out `sink`'s.

mod line;
mod sink;

use std::io::{self, IsTerminal as _};
use std::panic;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use sink::{FlushAtEnd, flush, flush_until, lines_lost, print};

use crate::rate_limit::RateLimits;
use line::{Lines, Shape};
use sink::Sink;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For a person if stderr is a terminal, JSON otherwise.
    Auto,
    /// For a person.
    Human,
    /// One JSON object a line.
    Json,
}

/// Hands name and value of what is known of the current request to its argument.
pub type DescribeRequest = fn(&mut dyn FnMut(&'static str, &str));

/// Starts logging for the whole process; panics are logged too, one line each. All has
/// been written when the answer is dropped.
pub fn start(
    filter: Targets,
    format: LogFormat,
    describe_request: DescribeRequest,
) -> io::Result<FlushAtEnd> {
    let is_terminal = io::stderr().is_terminal();
    let shape = match format {
        LogFormat::Auto if !is_terminal => Shape::Json,
        LogFormat::Json => Shape::Json,
        LogFormat::Auto | LogFormat::Human => Shape::Human {
            has_colors: is_terminal,
        },
    };
    let (sink, flush) = Sink::start(move |lost| line::of_loss(shape, lost))?;
    let lines = Lines {
        shape,
        describe_request,
        sink,
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();

    // A request that panics may come again and again. By place, of which there are few.
    let panics = RateLimits::new();
    panic::set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        panics.of(place.clone()).note(|| {
            let message = info.payload_as_str().unwrap_or("(no message)").to_owned();
            move |times| tracing::error!(place, panic = message, times, "panicked")
        });
    }));
    Ok(flush)
}
