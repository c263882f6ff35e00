//! `make bench`: what ems-sync costs and how fast it is, end to end, as ratios within one run.
//!
//! A plain program: real Postgres and RabbitMQ (`deploy/local/with-services`), `ems-sync` as a child process, a
//! simulated TagServer as another, so that CPU time is known per process. It measures and prints; it never asserts on
//! time. `benches/README.md` says what each figure means and how far to trust it.

mod args;
mod backlog;
mod broker;
mod cpu;
mod delay;
mod latency;
mod people;
mod remote;
mod report;
mod stats;
mod straight_line;
mod system;
mod writers;

use std::process::ExitCode;

use clap::Parser as _;
use serde_json::json;

use crate::args::{Args, Section};
use crate::cpu::Meter;
use crate::report::Report;
use crate::system::Services;

/// What every section works with.
struct Bench {
    args: Args,
    services: Services,
    meter: Meter,
}

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider().install_default().ok();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Some(options) = remote::simulator_options(std::env::args().skip(1)) {
        return runtime.block_on(remote::simulate(options));
    }
    let args = Args::parse();
    if !args.is_wanted() {
        // `cargo test --all-targets` runs benches, too, without `--bench`.
        return Ok(());
    }
    runtime.block_on(async {
        tokio::select! {
            result = measure(args) => result,
            // Dropping what runs ends the child processes.
            result = interrupted() => result,
        }
    })
}

async fn interrupted() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt?,
        _ = terminate.recv() => {}
    }
    anyhow::bail!("Interrupted")
}

async fn measure(args: Args) -> anyhow::Result<()> {
    let meter = Meter::new(args.postgres_pid, args.broker_pid);
    let services = Services::prepare(&args).await?;
    let sections = args.sections();
    let bench = Bench { args, services, meter };
    let mut report = Report::default();
    report.note(&format!(
        "{} cores; load average {}",
        std::thread::available_parallelism()?,
        cpu::load_average()?
    ))?;
    report.record("load_before", json!(cpu::load_average()?));
    for section in sections {
        let began = (tokio::time::Instant::now(), bench.meter.read(&[], &[])?);
        match section {
            Section::Latency => latency::measure(&bench, &mut report).await?,
            Section::Backlog => backlog::measure(&bench, &mut report).await?,
            Section::Writers => writers::measure(&bench, &mut report).await?,
            Section::Bulk => writers::measure_bulk(&bench, &mut report).await?,
            Section::Delay => delay::measure(&bench, &mut report).await?,
        }
        let used = bench.meter.read(&[], &[])? - began.1;
        report.section_ended(section, began.0.elapsed(), used.machine)?;
    }
    report.record("load_after", json!(cpu::load_average()?));
    bench.services.tidy().await?;
    report.finish()
}
