//! From the command line to an exit code: parse, start logging, run the service or ask the one that
//! runs.

use std::process::ExitCode;

use neptun_auth::cli::{self, Report};
use neptun_auth::config::{Command, Config, Flags, InvalidSetting, on_one_line};
use neptun_auth::server::{HandedOver, RunError};
use neptun_auth::{http, server, telemetry};
use tokio::runtime::Builder;

/// A setting is wrong.
const BAD_SETTINGS: u8 = 2;

fn main() -> ExitCode {
    let (flags, matches) = match Flags::read() {
        Ok(read) => read,
        Err(misuse) => {
            complain(&misuse);
            return ExitCode::from(BAD_SETTINGS);
        }
    };
    match &flags.command {
        Some(Command::Healthcheck) => {
            return match flags.admin_addresses() {
                Ok(addresses) => report(&cli::healthcheck(&addresses)),
                Err(fault) => finish(Err(fault)),
            };
        }
        Some(Command::Sessions(command)) => {
            return match flags.admin_listener(&matches) {
                Ok(listener) => report(&cli::sessions(command, &listener)),
                Err(faults) => refuse(&faults),
            };
        }
        None => {}
    }
    match flags.validate(&matches) {
        Ok(config) => run(config),
        Err(faults) => refuse(&faults),
    }
}

fn refuse(faults: &[InvalidSetting]) -> ExitCode {
    for fault in faults {
        complain(fault);
    }
    ExitCode::from(BAD_SETTINGS)
}

fn report(Report { said, outcome }: &Report) -> ExitCode {
    if let Some(said) = said {
        complain(said);
    }
    ExitCode::from(*outcome as u8)
}

fn run(config: Config) -> ExitCode {
    let (filter, format) = (config.log.clone(), config.log_format);
    // Before there is a second thread.
    let handed_over = HandedOver::take();
    let logging = telemetry::start(filter, format, http::describe_current);
    let (_flush, outcome) = match (logging, handed_over) {
        (Ok(flush), Ok(handed_over)) => (Some(flush), serve(config, handed_over)),
        (Ok(flush), Err(invalid)) => (Some(flush), Err(invalid.into())),
        (Err(error), _) => (None, Err(RunError::Process(error))),
    };
    match outcome {
        Err(error) if error.is_a_setting() => {
            complain(&error);
            ExitCode::from(BAD_SETTINGS)
        }
        outcome => finish(outcome),
    }
}

fn serve(config: Config, handed_over: HandedOver) -> Result<(), RunError> {
    let runtime = Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(RunError::Process)?;
    let outcome = runtime.block_on(server::run(config, handed_over));
    // What still blocks then, such as a look-up of a name, is not waited for.
    runtime.shutdown_background();
    outcome
}

fn finish<E: std::fmt::Display>(outcome: Result<(), E>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// For whoever started it.
fn complain(problem: &dyn std::fmt::Display) {
    let line = on_one_line(&problem.to_string());
    telemetry::print(&format!("neptun-auth: {line}\n"));
}
