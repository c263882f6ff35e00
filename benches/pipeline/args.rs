//! The command line, after `cargo bench --bench pipeline --`.

use clap::{Parser, ValueEnum};

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Section {
    /// Commit to remote, one change at a time
    Latency,
    /// Many persons owed at once, against a straight-line program
    Backlog,
    /// What single-row writers of the EMS lose
    Writers,
    /// What one large UPDATE of the EMS loses
    Bulk,
    /// A remote that takes its time
    Delay,
}

impl Section {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Backlog => "backlog",
            Self::Writers => "writers",
            Self::Bulk => "bulk",
            Self::Delay => "delay",
        }
    }
}

/// Measures ems-sync end to end; run it through deploy/local/with-services
#[derive(Debug, Parser)]
#[command(name = "pipeline")]
pub(crate) struct Args {
    /// What to measure; everything if nothing is named
    sections: Vec<Section>,
    /// Interleaved rounds of backlog, writers and bulk
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: u32,
    /// Single changes per way of waking (latency)
    #[arg(long, default_value_t = 250)]
    pub(crate) changes: u32,
    /// Persons owed at once (backlog)
    #[arg(long, default_value_t = 5_000)]
    pub(crate) people: u32,
    /// Deliveries of the straight-line program per round (backlog)
    #[arg(long, default_value_t = 1_000)]
    pub(crate) straight: u32,
    /// Writers at once (writers)
    #[arg(long, default_value_t = 32)]
    pub(crate) writers: u32,
    /// Seconds per round and form (writers)
    #[arg(long, default_value_t = 3)]
    pub(crate) seconds: u64,
    /// Rows of the table that is written (writers, bulk)
    #[arg(long, default_value_t = 100_000)]
    pub(crate) rows: u32,
    /// How long each request takes (delay)
    #[arg(long, default_value_t = 50)]
    pub(crate) delay_ms: u32,
    /// What `cargo bench` passes
    #[arg(long, hide = true)]
    bench: bool,
    /// The launcher's Postgres
    #[arg(long, env = "EMS_SYNC_LOCAL_DATABASE_URL", hide = true)]
    pub(crate) database_url: String,
    /// The launcher's `RabbitMQ`
    #[arg(long, env = "EMS_SYNC_LOCAL_AMQP_URL", hide = true)]
    pub(crate) amqp_url: String,
    #[arg(long, env = "EMS_SYNC_LOCAL_PG_PID", hide = true)]
    pub(crate) postgres_pid: u32,
    #[arg(long, env = "EMS_SYNC_LOCAL_AMQP_PID", hide = true)]
    pub(crate) broker_pid: u32,
}

impl Args {
    /// Whether somebody asked for a measurement.
    pub(crate) const fn is_wanted(&self) -> bool {
        self.bench || !self.sections.is_empty()
    }

    pub(crate) fn sections(&self) -> Vec<Section> {
        if self.sections.is_empty() {
            return Section::value_variants().to_vec();
        }
        self.sections.clone()
    }
}
