//! CPU time per process, from `/proc`: what the kernel accounts, not what a clock shows.

use std::collections::HashMap;
use std::ops::Sub;
use std::time::Duration;

use anyhow::Context as _;

/// `USER_HZ`: the unit of `/proc/*/stat`, 100 on every Linux that matters here.
const TICK: Duration = Duration::from_millis(10);

/// CPU time used so far, or meanwhile.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    /// Every process of the server: backends that live, backends that have ended, background processes.
    pub(crate) postgres: Duration,
    /// The Erlang machine and its port programs.
    pub(crate) broker: Duration,
    /// `ems-sync`.
    pub(crate) worker: Duration,
    /// The simulated remote.
    pub(crate) remote: Duration,
    /// This program.
    pub(crate) bench: Duration,
    /// Everything that ran on the machine, strangers too.
    pub(crate) machine: Duration,
}

impl Used {
    /// What belongs to the pipeline.
    pub(crate) fn pipeline(&self) -> Duration {
        self.postgres + self.broker + self.worker + self.remote
    }
}

impl Sub for Used {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            postgres: self.postgres.saturating_sub(before.postgres),
            broker: self.broker.saturating_sub(before.broker),
            worker: self.worker.saturating_sub(before.worker),
            remote: self.remote.saturating_sub(before.remote),
            bench: self.bench.saturating_sub(before.bench),
            machine: self.machine.saturating_sub(before.machine),
        }
    }
}

/// Microseconds of CPU per operation.
pub(crate) fn per(used: Duration, operations: f64) -> f64 {
    used.as_secs_f64() * 1e6 / operations
}

/// Reads the meters of the processes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meter {
    postgres: u32,
    broker: u32,
}

/// What `/proc/<pid>/stat` says of a process.
#[derive(Debug, Clone, Copy)]
struct Stat {
    parent: u32,
    own: Duration,
    /// Children that have ended and were waited for.
    ended_children: Duration,
}

impl Meter {
    pub(crate) const fn new(postgres: u32, broker: u32) -> Self {
        Self { postgres, broker }
    }

    /// What was used so far; processes of ems-sync and simulators are named.
    pub(crate) fn read(&self, workers: &[u32], remotes: &[u32]) -> anyhow::Result<Used> {
        let processes = processes()?;
        let family = |root: u32| {
            let mut members = vec![root];
            let mut next = 0;
            while let Some(parent) = members.get(next).copied() {
                next += 1;
                members.extend(processes.iter().filter(|p| p.1.parent == parent).map(|p| *p.0));
            }
            members
        };
        let all = |pids: &[u32]| -> Duration {
            pids.iter().filter_map(|pid| processes.get(pid)).map(|stat| stat.own).sum()
        };
        // A backend has one thread, so that the scheduler's nanoseconds are to be had.
        let postgres: Duration =
            family(self.postgres).iter().filter_map(|pid| precise(*pid, &processes)).sum();
        let reaped = processes.get(&self.postgres).map(|s| s.ended_children).unwrap_or_default();
        Ok(Used {
            postgres: postgres + reaped,
            broker: all(&family(self.broker)),
            worker: all(workers),
            remote: all(remotes),
            bench: all(&[std::process::id()]),
            machine: machine()?,
        })
    }
}

fn precise(pid: u32, processes: &HashMap<u32, Stat>) -> Option<Duration> {
    let schedstat = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok();
    let nanos = schedstat.and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanos.map(Duration::from_nanos).or_else(|| processes.get(&pid).map(|stat| stat.own))
}

fn processes() -> anyhow::Result<HashMap<u32, Stat>> {
    let mut processes = HashMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may have ended since.
        if let Some(stat) = stat(pid) {
            processes.insert(pid, stat);
        }
    }
    Ok(processes)
}

fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name, in parentheses, may itself hold blanks and parentheses.
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |field: usize| -> Option<u32> { fields.get(field)?.parse().ok() };
    Some(Stat {
        parent: ticks(1)?,
        own: TICK * (ticks(11)? + ticks(12)?),
        ended_children: TICK * (ticks(13)? + ticks(14)?),
    })
}

/// Everything but idle and waiting for a disk, over all cores.
fn machine() -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<u64> =
        line.split_whitespace().skip(1).map(str::parse).collect::<Result<_, _>>()?;
    let busy: u64 =
        [0, 1, 2, 5, 6, 7].into_iter().filter_map(|field: usize| ticks.get(field)).sum();
    Ok(Duration::from_millis(busy * 10))
}

pub(crate) fn load_average() -> anyhow::Result<String> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}
