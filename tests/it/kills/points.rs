//! Kills at every named point (`src/failpoint.rs`): of the relay, of the consumer, of the sweep. Each process is told at
//! which point to die, and how often to pass it before.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ems_sync::failpoint;
use ems_sync_remotes::tagserver::{Resource, concurrency_failure};
use ems_sync_remotes::{Fault, Operation, Rule};

use super::fleet::{CONSUMES, Fleet, Process, RELAYS, RELAYS_AND_CONSUMES, SWEEPS};
use super::workload::Workload;
use crate::support::campaign;
use crate::support::random::Random;
use crate::support::rig::Rig;

const OF_THE_RELAY: [&str; 2] = ["relay.", "republish."];
const OF_THE_SWEEP: [&str; 1] = ["sweep."];
/// Tested where something comes back (`tests/it/inbound/deaths.rs`, `tests/it/inbound_pull/commands.rs`).
const OF_INBOUND: [&str; 2] = ["inbound.", "pull."];

/// A process that has not met its point by then is killed where it is.
const MEETS_IT_WITHIN: Duration = Duration::from_secs(30);

/// How often something is done that brings a process to its point.
const POKES_EVERY: Duration = Duration::from_millis(700);
/// Processes at a time.
const AT_ONCE: usize = 6;

fn points(wanted: impl Fn(&str) -> bool) -> Vec<&'static str> {
    failpoint::ALL.iter().copied().filter(|point| wanted(point)).collect()
}

fn is_of(point: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| point.starts_with(prefix))
}

/// The kills that are left to do, in turns.
struct Plan {
    left: BTreeMap<&'static str, usize>,
    next: usize,
    /// How often a process did not meet its point in time.
    missed: BTreeMap<&'static str, usize>,
    pokes: usize,
    poking: Option<u64>,
    poked: Option<Instant>,
}

impl Plan {
    fn new(points: &[&'static str], kills: usize) -> Self {
        let left = points.iter().map(|point| (*point, kills)).collect();
        Self { left, next: 0, missed: BTreeMap::new(), pokes: 0, poking: None, poked: None }
    }

    /// The next point that those under way do not bring to its number.
    fn next(&mut self, under_way: &[UnderWay]) -> Option<&'static str> {
        let goes_to = |point: &str| under_way.iter().filter(|one| one.point == point).count();
        let left = self.left.iter().filter(|(point, left)| **left > goes_to(point));
        let left: Vec<_> = left.map(|(point, _)| *point).collect();
        self.next += 1;
        (!left.is_empty()).then(|| left[self.next % left.len()])
    }

    /// Starts processes and buries them until every point has had its number. `passes` says how often a process passes its
    /// point before it dies there.
    async fn run(
        &mut self,
        fleet: &mut Fleet<'_>,
        arguments: &[&str],
        mut passes: impl FnMut(&str) -> usize,
    ) {
        let mut under_way: Vec<UnderWay> = Vec::new();
        let mut looked = Instant::now();
        let bound = 20 + 2 * self.left.values().sum::<usize>();
        loop {
            let missed: usize = self.missed.values().sum();
            assert!(missed < bound, "left: {:?}; missed: {:?}", self.left, self.missed);
            while under_way.len() < AT_ONCE
                && let Some(point) = self.next(&under_way)
            {
                self.poke(fleet.rig, point).await;
                let process = fleet.spawn(arguments, Some((point, passes(point))));
                under_way.push(UnderWay { process, point, began: Instant::now() });
            }
            if under_way.is_empty() {
                return;
            }
            let over = under_way
                .extract_if(.., |one| {
                    one.process.has_ended() || one.began.elapsed() > MEETS_IT_WITHIN
                })
                .collect::<Vec<_>>();
            for one in over {
                self.bury(fleet, one).await;
            }
            if looked.elapsed() > POKES_EVERY {
                for one in &under_way {
                    self.poke(fleet.rig, one.point).await;
                }
                looked = Instant::now();
            }
            fleet.reap().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Buries a process, and strikes its point off if it died there.
    async fn bury(&mut self, fleet: &mut Fleet<'_>, one: UnderWay) {
        let UnderWay { mut process, point, .. } = one;
        if !process.has_ended() {
            *self.missed.entry(point).or_default() += 1;
            fleet.kill(process).await;
            return;
        }
        let death = fleet.bury(process).await;
        if !death.was_killed {
            // A sweep that found nothing, or whose duty another one took.
            assert!(is_of(point, &OF_THE_SWEEP), "{point}: {:#?}", death.last);
            *self.missed.entry(point).or_default() += 1;
            return;
        }
        assert_eq!(death.point.as_deref(), Some(point), "{:#?}", death.last);
        let left = self.left.get_mut(point).unwrap();
        *left = left.saturating_sub(1);
        if self.left.values().sum::<usize>().is_multiple_of(50) {
            eprintln!("left: {:?}; missed so far: {:?}", self.left, self.missed);
        }
    }

    /// Some points are met only after something else: what is owed and told to nobody, as a relay leaves it behind that
    /// dies between the two; a failure, here of an organisation, whose change nobody else makes.
    async fn poke(&mut self, rig: &Rig, point: &str) {
        if point.starts_with("republish.") {
            rig.exec(
                "select count(*) from (
                     select sync.owe('tagserver', 'person', array_agg(id), array_agg(now()), array_agg(null::text), 'sweep', 'live')
                     from ems.person where id % 5 = 0) o",
            )
            .await;
            return;
        }
        let fault = match point {
            "retry.published" => concurrency_failure(),
            "dead_letter.committed" | "dead_letter.published" => Fault::status(400),
            _ => return,
        };
        // One after the other: two at once would take back each other's fault.
        if self.poked.is_some_and(|at| at.elapsed() < POKES_EVERY) {
            return;
        }
        self.poked = Some(Instant::now());
        if let Some(rule) = self.poking.take() {
            rig.sim.faults().remove(rule);
        }
        self.pokes += 1;
        // Every second time it succeeds, so that a dead letter is closed and the next is another one.
        if self.pokes % 2 == 1 {
            let rule = Rule::new(fault).resource(Resource::Organisation).external_id(2).writes();
            self.poking = Some(rig.sim.faults().push(rule));
        }
        rig.exec(&format!(
            "update ems.organisation set name = 'Poked {}' where id = 2",
            self.pokes
        ))
        .await;
    }

    fn told(&self, kills: usize) {
        let points: Vec<_> = self.left.keys().collect();
        eprintln!("{kills} kills at each of {points:?}; missed {:?}", self.missed);
    }
}

/// A process on its way to a point.
struct UnderWay {
    process: Process,
    point: &'static str,
    began: Instant,
}

/// Answers that never come and requests that fail, one at a time: of single requests, so that the breaker stays closed.
fn faults(rig: &Rig) {
    for operation in [Operation::Create, Operation::Replace, Operation::Delete] {
        let lost = Rule::new(Fault::CommitThenDrop).operation(operation);
        rig.sim.faults().push(lost.probability(0.02).unlimited());
        let refused = Rule::new(Fault::status(503)).operation(operation);
        rig.sim.faults().push(refused.probability(0.01).unlimited());
    }
}

/// Consumers, each of which dies at a point of the way of a batch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_killed_at_every_point_lose_nothing_and_double_nothing() {
    let mut random =
        Random::seeded("consumers_killed_at_every_point_lose_nothing_and_double_nothing");
    let kills = campaign::kills(1, 100);
    let others = [OF_THE_RELAY.as_slice(), &OF_THE_SWEEP, &OF_INBOUND];
    let points = points(|point| !others.iter().any(|prefixes| is_of(point, prefixes)));
    let (rig, checker) = super::rig().await;
    let mut fleet = Fleet::new(&rig);
    let relay = fleet.spawn(&RELAYS, None);
    let workload = Workload::begin(&rig, &mut random).await;
    faults(&rig);
    let mut plan = Plan::new(&points, kills);
    // What has run for a while passes its point a few times.
    plan.run(&mut fleet, &CONSUMES, |point| {
        if point.starts_with("dead_letter.") { 0 } else { random.below(4) }
    })
    .await;
    let changes = workload.end().await;
    fleet.kill(relay).await;
    plan.told(kills);
    eprintln!("{changes} transactions");
    fleet.drain_and_check(&checker).await;
}

/// Relays, of which one leads at a time, with a consumer that lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_killed_at_every_point_lose_nothing_and_double_nothing() {
    let mut random = Random::seeded("relays_killed_at_every_point_lose_nothing_and_double_nothing");
    let kills = campaign::kills(1, 100);
    let points = points(|point| is_of(point, &OF_THE_RELAY));
    let (rig, checker) = super::rig().await;
    let mut fleet = Fleet::new(&rig);
    let consumer = fleet.spawn(&CONSUMES, None);
    let workload = Workload::begin(&rig, &mut random).await;
    faults(&rig);
    let mut plan = Plan::new(&points, kills);
    plan.run(
        &mut fleet,
        &RELAYS,
        |point| {
            if point.starts_with("relay.") { random.below(4) } else { 0 }
        },
    )
    .await;
    let changes = workload.end().await;
    fleet.kill(consumer).await;
    plan.told(kills);
    eprintln!("{changes} transactions");
    fleet.drain_and_check(&checker).await;
}

/// Sweeps, under changes of which no event tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sweeps_killed_at_every_point_lose_nothing_and_double_nothing() {
    let mut random = Random::seeded("sweeps_killed_at_every_point_lose_nothing_and_double_nothing");
    let kills = campaign::kills(1, 100);
    let points = points(|point| is_of(point, &OF_THE_SWEEP));
    let (rig, checker) = super::rig().await;
    let mut fleet = Fleet::new(&rig);
    let worker = fleet.spawn(&RELAYS_AND_CONSUMES, None);
    rig.settled().await;
    rig.exec("select sync.unwatch('ems.person'), sync.unwatch('ems.tag')").await;
    let workload = Workload::begin(&rig, &mut random).await;
    faults(&rig);
    let mut plan = Plan::new(&points, kills);
    plan.run(
        &mut fleet,
        &SWEEPS,
        |point| {
            if point == "sweep.compared" { random.below(8) } else { 0 }
        },
    )
    .await;
    let changes = workload.end().await;
    rig.exec("select sync.watch('ems.person', 'person'), sync.watch('ems.tag', 'tag')").await;
    let (code, found) = rig.run(&SWEEPS).await;
    assert_eq!(code, 0, "{found}");
    fleet.kill(worker).await;
    plan.told(kills);
    eprintln!("{changes} transactions");
    fleet.drain_and_check(&checker).await;
}
