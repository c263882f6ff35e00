//! A race with 2,000 runners, told with the real program: an EMS in Postgres, the worker `ems-sync` as a process, and
//! all five remotes, simulated. `make demo` starts it beside a private Postgres and RabbitMQ.
//!
//! Each step says what happened and how fast. At the end EMS and TagServer are compared field by field, and each of the
//! five is verified; the exit code is 0 only if all agree and every check on the way held.
//!
//! - `story/` is the story; read it to see what the worker does
//! - `stage` builds database, remotes and worker, and waits for facts (never for a while)
//! - `comparison` is a second implementation of the mapping
//! - `ems`, `remote`, `tagserver`, `platforms`, `worker`, `process`, `screen`, `environment` are the parts; `runners` and `names` invent people

mod comparison;
mod ems;
mod environment;
mod names;
mod platforms;
mod process;
mod remote;
mod runners;
mod screen;
mod stage;
mod story;
mod tagserver;
mod worker;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::environment::Services;
use crate::screen::{Screen, took};
use crate::stage::Stage;

/// A race, from the first entry to the last comparison: `ems-sync` between an EMS and five simulated remotes.
#[derive(Debug, Parser)]
#[command(name = "demo")]
struct Arguments {
    /// How many runners enter at first
    #[arg(long, default_value_t = 2_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1_000..=20_000))]
    runners: u32,
    /// End when the story is told, also on a terminal
    #[arg(long)]
    no_wait: bool,
}

/// How the story ended.
enum End {
    Told,
    Interrupted,
}

/// What a shell expects of a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

/// One thread: the children's parent-death signal belongs to the thread that started them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    rustls::crypto::ring::default_provider().install_default().ok();
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            writeln!(std::io::stderr(), "\ndemo: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode> {
    let services = Services::find()?;
    let began = Instant::now();
    let mut screen = Screen::new();
    screen.title("ems-sync: a race, from the first entry to the last comparison");
    let mut interrupted = Box::pin(interrupted()?);
    let mut stage = tokio::select! {
        stage = Stage::build(screen, &services, usize::try_from(arguments.runners)?) => stage?,
        () = &mut interrupted => return Ok(ExitCode::from(INTERRUPTED)),
    };
    let end = tokio::select! {
        told = story::tell(&mut stage) => told.map(|()| End::Told),
        () = &mut interrupted => Ok(End::Interrupted),
    };
    let is_over = matches!(end, Ok(End::Interrupted));
    let code = verdict(&mut stage, end, began).await;
    if stage.screen.is_terminal() && !arguments.no_wait && !is_over {
        story::stay_up(&mut stage)?;
        interrupted.await;
        stage.screen.line("");
    }
    stage.strike().await?;
    Ok(code)
}

/// The last word.
async fn verdict(stage: &mut Stage, end: Result<End>, began: Instant) -> ExitCode {
    let time = took(began.elapsed());
    match (end, stage.screen.wrong()) {
        (Ok(End::Told), 0) => {
            stage.screen.check(
                true,
                "The EMS and all five remotes agree. The whole story took",
                &time,
            );
            ExitCode::SUCCESS
        }
        (Ok(End::Told), wrong) => {
            stage.screen.check(false, &format!("{wrong} checks failed. The story took"), &time);
            ExitCode::FAILURE
        }
        (Ok(End::Interrupted), _) => {
            stage.screen.line("");
            stage.screen.note("Interrupted: everything is stopped.");
            ExitCode::from(INTERRUPTED)
        }
        (Err(error), _) => {
            stage.screen.check(false, &format!("{error:#}. The story ended after"), &time);
            stage.show_troubles().await;
            ExitCode::FAILURE
        }
    }
}

/// The first Ctrl-C or SIGTERM. What follows it is an orderly end.
fn interrupted() -> Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
