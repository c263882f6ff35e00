//! `ems-sync run`: the roles of one process, until SIGTERM or SIGINT. A second signal ends it at once.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Exit;
use super::args::RunArgs;
use crate::config::{self, Config};
use crate::process;
use crate::trace;

pub(super) async fn run(config: Config, args: RunArgs) -> anyhow::Result<Exit> {
    let listen = |kind| signal(kind).context("Signals can't be listened to");
    let signals = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(signals, stop.clone()));
    let exporting = config::wants_traces().then(trace::start);
    let exporting = exporting.transpose()?;
    let result = process::run(config, &args.roles, stop).await;
    if let Some(exporting) = exporting {
        exporting.end().await;
    }
    result?;
    Ok(Exit::Fine)
}

async fn stop_on_signal((mut terminate, mut interrupt): (Signal, Signal), stop: CancellationToken) {
    next(&mut terminate, &mut interrupt).await;
    stop.cancel();
    next(&mut terminate, &mut interrupt).await;
    tracing::warn!("A second signal: ending at once; what was claimed is left to its leases");
    std::process::exit(1);
}

/// Waits for the next signal.
async fn next(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
