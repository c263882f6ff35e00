//! A race with 2,000 runners, told with the real program: an EMS in Postgres, the worker `ems-sync` as a process, and
//! a simulated TagServer. `make demo` starts it beside a private Postgres and RabbitMQ.
//!
//! Each step says what happened and how fast. At the end EMS and TagServer are compared field by field; the exit
//! code is 0 only if they agree and every check on the way held.
//!
//! - `story/` is the story; read it to see what the worker does
//! - `stage` builds database, TagServer and worker, and waits for facts (never for a while)
//! - `comparison` is a second implementation of the mapping
//! - `ems`, `tagserver`, `worker`, `process`, `screen` are the parts; `runners` and `names` invent people

mod comparison;
mod ems;
mod names;
mod process;
mod runners;
mod screen;
mod stage;
mod story;
mod tagserver;
mod worker;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};

use crate::screen::{Screen, took};
use crate::stage::Stage;

/// What the launcher has started.
pub(crate) struct Services {
    pub(crate) database_url: String,
    pub(crate) amqp_url: String,
}

/// How the demo ended.
enum End {
    Told,
    Interrupted,
}

/// One thread: the children's parent-death signal belongs to the thread that started them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    rustls::crypto::ring::default_provider().install_default().ok();
    match run().await {
        Ok(code) => code,
        Err(error) => {
            use std::io::Write as _;
            writeln!(std::io::stderr(), "\ndemo: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<ExitCode> {
    let services = services()?;
    let began = Instant::now();
    let mut screen = Screen::new();
    screen.title("ems-sync: a race, from the first entry to the last comparison");
    let mut interrupted = Box::pin(interrupted()?);
    let mut stage = tokio::select! {
        stage = Stage::build(screen, &services) => stage?,
        () = &mut interrupted => return Ok(ExitCode::from(130)),
    };
    let told = tokio::select! {
        told = story::tell(&mut stage) => told.map(|()| End::Told),
        () = &mut interrupted => Ok(End::Interrupted),
    };
    let code = match &told {
        Ok(End::Told) => verdict(&mut stage, began),
        Ok(End::Interrupted) => ExitCode::from(130),
        Err(error) => {
            stage.screen.check(false, &format!("{error:#}"), "failed");
            stage.show_troubles().await;
            ExitCode::FAILURE
        }
    };
    if stage.screen.is_terminal() && !matches!(told, Ok(End::Interrupted)) {
        story::stay_up(&mut stage)?;
        interrupted.await;
        stage.screen.line("");
    }
    let is_wrong = told.is_err() || stage.screen.wrong() > 0;
    stage.strike(is_wrong).await?;
    Ok(code)
}

/// The last word.
fn verdict(stage: &mut Stage, began: Instant) -> ExitCode {
    let time = took(began.elapsed());
    match stage.screen.wrong() {
        0 => {
            stage.screen.check(true, "EMS and TagServer agree. The whole story took", &time);
            ExitCode::SUCCESS
        }
        wrong => {
            stage.screen.check(
                false,
                &format!("{wrong} checks failed. The whole story took"),
                &time,
            );
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

#[expect(
    clippy::disallowed_methods,
    reason = "the launcher says in the environment where its servers are"
)]
fn services() -> Result<Services> {
    let get = |name: &str| {
        std::env::var(name).with_context(|| {
            format!(
                "{name} is not set. The demo needs a Postgres and a RabbitMQ of its own: start it with `make demo`, \
                 or as `deploy/local/with-services -- cargo run --example demo`."
            )
        })
    };
    Ok(Services {
        database_url: get("EMS_SYNC_LOCAL_DATABASE_URL")?,
        amqp_url: get("EMS_SYNC_LOCAL_AMQP_URL")?,
    })
}
