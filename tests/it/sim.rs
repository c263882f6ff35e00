//! A seeded simulation of the protocol: the rules that ship (`decide`, `without_request`, `after_push`, `route`, the
//! retry table) between models of the EMS, the sync records, the broker and TagServer, with everything failing.
//!
//! A seed is one world of up to a dozen entities and one to four processes, each a step machine; a random scheduler
//! picks who goes next, when time passes and what breaks. It is single-threaded and deterministic: `EMS_SYNC_SIM_SEED=n`
//! repeats a seed and prints its last steps.
//!
//! 1. **Chaos.** Transactions commit late, roll back or run with triggers off; the broker loses, repeats and reorders;
//!    requests and answers are lost or land minutes later; processes are killed, stopped and paused beyond their leases;
//!    the database goes away; clocks jump; operators and strangers interfere.
//! 2. **Calm.** Faults stop. Without a sweep, all that a trigger told of must come home. With sweeps, all of it must.
//! 3. **Silence.** Then nothing may be written any more.
//!
//! What stands in SQL is the model of `model/rules.rs`, which `model/driver.rs` compares with Postgres.

mod audit;
mod batch;
mod bug;
mod client;
mod ems;
mod process;
mod records;
mod remote;
mod scheduler;
mod sweep;
mod verdict;
mod world;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bug::Bug;
use scheduler::Simulation;

/// Seeds that `make test` runs; about a minute on one busy core.
const SEEDS: u64 = 5_000;
/// A planted mistake must be found within so many seeds.
const SEEDS_PER_BUG: u64 = 10_000;

/// Runs a seed; how much it did, or what it violated.
fn run(seed: u64, bug: Option<Bug>, is_traced: bool) -> Result<scheduler::Figures, String> {
    let mut simulation = Simulation::new(seed, bug, is_traced);
    let figures = simulation.run();
    match simulation.world.audit.violation.take() {
        None => Ok(figures),
        Some(what) if is_traced => Err(format!(
            "{}\nSeed {seed}, step {}: {what}\nTo repeat it: EMS_SYNC_SIM_SEED={seed}",
            simulation.world.audit.trace(),
            figures.steps
        )),
        Some(what) => Err(what),
    }
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// Runs these seeds on as many threads as asked for; stops at the first violation.
fn run_all(from: u64, seeds: u64, threads: u64) -> scheduler::Figures {
    let began = Instant::now();
    let run_some = move |thread: u64| {
        let mut figures = scheduler::Figures::default();
        for seed in (from + thread..from + seeds).step_by(threads as usize) {
            match run(seed, None, false) {
                Ok(more) => figures.add(&more),
                Err(_) => panic!("{}", run(seed, None, true).unwrap_err()),
            }
        }
        figures
    };
    let threads: Vec<_> =
        (0..threads).map(|thread| std::thread::spawn(move || run_some(thread))).collect();
    let mut all = scheduler::Figures::default();
    for thread in threads {
        match thread.join() {
            Ok(figures) => all.add(&figures),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    eprintln!("seeds {from} to {}: {all:?} in {:?}", from + seeds - 1, began.elapsed());
    all
}

/// One seed of the environment with its trace, or as many as it asks for.
#[test]
fn nothing_is_lost_doubled_stale_or_endless_in_any_seed() {
    if let Some(seed) = from_environment("EMS_SYNC_SIM_SEED") {
        let figures = run(seed, None, true).unwrap_or_else(|violation| panic!("{violation}"));
        eprintln!("seed {seed}: {figures:?}");
        return;
    }
    let from = from_environment("EMS_SYNC_SIM_FROM").unwrap_or(1);
    let seeds = from_environment("EMS_SYNC_SIM_SEEDS").unwrap_or(SEEDS);
    let threads = from_environment("EMS_SYNC_SIM_THREADS").unwrap_or(1);
    let figures = run_all(from, seeds, threads);
    // A seed in which nothing happens proves nothing.
    assert!(figures.writes > seeds && figures.ambiguous > seeds / 4, "{figures:?}");
}

/// The checks can fail: each mistake that is planted by hand is found.
#[test]
fn every_planted_bug_is_found() {
    let mut found = BTreeMap::new();
    let only = std::env::var("EMS_SYNC_SIM_BUG").ok();
    for bug in Bug::ALL {
        if only.as_ref().is_some_and(|only| *only != format!("{bug:?}")) {
            continue;
        }
        let seed = (1..=SEEDS_PER_BUG).find_map(|seed| {
            let violation = run(seed, Some(bug), false).err()?;
            Some((seed, violation))
        });
        match &seed {
            Some((seed, what)) => {
                eprintln!("{bug:?}: found after {seed} seeds: {:.150}", what);
            }
            None => eprintln!("{bug:?}: not found in {SEEDS_PER_BUG} seeds"),
        }
        found.insert(format!("{bug:?}"), seed.map(|(seed, _)| seed));
    }
    let missed: Vec<_> = found.iter().filter(|(_, seed)| seed.is_none()).collect();
    assert!(missed.is_empty(), "{missed:?}");
}

/// Only the database's clock and monotonic time count: with or without jumping clocks, a seed ends the same.
#[test]
fn the_clocks_of_the_processes_change_nothing() {
    for seed in 1..=200 {
        let mut right = Simulation::new(seed, None, false);
        let mut wrong = Simulation::new(seed, None, false);
        for process in &mut right.processes {
            process.offset = 0;
        }
        for process in &mut wrong.processes {
            process.offset = Duration::from_secs(3_000).as_micros() as i64;
        }
        right.run();
        wrong.run();
        assert_eq!(right.end(), wrong.end(), "seed {seed}");
    }
}
