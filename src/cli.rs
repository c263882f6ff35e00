//! The command line: what it accepts, and for each command what it reads, does and prints.
//!
//! Documents and tables go to standard output, everything else to standard error. Exit codes: 0 fine, 1 failed,
//! 2 usage, 64 configuration.

mod args;
mod bar;
mod check_config;
mod conflicts;
mod dead_letters;
mod explain;
mod guard;
mod migrate;
mod output;
mod rebind;
mod report;
mod resync;
mod run;
mod status;
mod sweep;
mod sweep_inbound;
mod table;
mod target;
mod verify;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use crate::broker::{Broker, Publisher};
use crate::config::{self, Config};
use crate::store::{Store, StoreError};
use crate::telemetry;

use args::{Cli, Command, Global, SweepCommand};

/// What stands beneath a list that its limit has ended.
const MORE: &str = "\n\nThere are more: see `--limit`.";

/// What the shell is told, besides 2 for usage, which clap decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// All is well.
    Fine,
    /// The command failed, or found what it was asked to check.
    Failed,
    /// The configuration can't be used.
    Configuration,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Fine => Self::SUCCESS,
            Exit::Failed => Self::from(1),
            Exit::Configuration => Self::from(64),
        }
    }
}

/// Reads the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse().and_then(Cli::checked) {
        Ok(cli) => cli,
        Err(usage) => {
            // Nobody is told when the terminal is gone.
            usage.print().ok();
            return u8::try_from(usage.exit_code()).map_or(ExitCode::from(2), ExitCode::from);
        }
    };
    let filter = cli.global.log_level.clone().unwrap_or_default();
    if let Err(error) =
        telemetry::start(cli.global.log_format, &filter, || bar::Around(std::io::stderr()))
    {
        return report::failed(&error.into(), cli.global.log_format).into();
    }
    let format = cli.global.log_format;
    execute(cli).unwrap_or_else(|error| report::failed(&error, format)).into()
}

fn execute(cli: Cli) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(Box::pin(dispatch(cli)));
    // What is still under way in the background (closing connections, look-ups of names) is not waited for.
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

async fn dispatch(cli: Cli) -> anyhow::Result<Exit> {
    let config = load(&cli.global);
    match cli.command {
        Command::CheckConfig(json) => check_config::check_config(config, json.json),
        Command::Migrate(args) => migrate::migrate(&config?, args).await,
        Command::Run(args) => run::run(config?, args).await,
        Command::Sweep(SweepCommand::Outbound(args)) => sweep::outbound(&config?, args).await,
        Command::Sweep(SweepCommand::Inbound(args)) => sweep_inbound::inbound(&config?, args).await,
        Command::Status(args) => status::status(&config?, args).await,
        Command::Explain(args) => explain::explain(&config?, args).await,
        Command::DeadLetters(command) => dead_letters::dead_letters(&config?, command).await,
        Command::Conflicts(command) => conflicts::conflicts(&config?, command).await,
        Command::Verify(args) => verify::verify(&config?, args).await,
        Command::Resync(args) => resync::resync(&config?, args).await,
        Command::Target(order) => target::order(&config?, order).await,
    }
}

fn load(global: &Global) -> Result<Config, config::ConfigError> {
    Config::load(global.config.as_deref(), &config::environment())
}

/// The database and a publisher, for a command of that name.
fn adapters(config: &Config, command: &str) -> Result<(Store, Publisher), StoreError> {
    let store = Store::new(&config.database.url, command)?;
    let broker = Broker::new(config.broker.url.clone(), config.broker.prefix.clone());
    Ok((store, Publisher::new(broker, command)))
}
