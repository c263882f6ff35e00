//! Several processes with a database between them, by seed: questions are carried out late, after they were given up or
//! never, answers are lost, processes are killed and leave their requests to the remote until the deadline.

use std::collections::BTreeMap;

use super::*;

const STEP: Duration = Duration::from_millis(20);
const STEPS: usize = 3_000;
const SEEDS: u64 = 40;
const PROCESSES: usize = 4;
/// The deadline of a request.
const TIMEOUT: Duration = Duration::from_secs(2);

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn steps(&mut self, below: usize) -> Duration {
        STEP * u32::try_from(self.below(below)).unwrap()
    }
}

/// A database that gives what is free.
#[derive(Default)]
struct Database {
    /// Number of the last question, slots, and until when they are leased.
    shares: BTreeMap<usize, (i64, usize, Instant)>,
}

impl Database {
    fn carry_out(&mut self, terms: &Terms, now: Instant, question: &Question) -> Option<Answer> {
        let Question { owner, ask, keep, .. } = question;
        let lives = |share: &(i64, usize, Instant)| share.2 > now;
        let others = self.shares.iter().filter(|(of, share)| *of != owner && lives(share));
        let others: usize = others.map(|(_, share)| share.1).sum();
        let mine = self.shares.get(owner);
        if mine.is_some_and(|(number, _, _)| *number >= ask.number) {
            return None;
        }
        let has =
            if mine.is_some_and(|mine| lives(mine) && mine.1 >= ask.has) { ask.has } else { 0 };
        let free = terms.limit.saturating_sub(others + has);
        let slots = has + ask.wants.saturating_sub(has).min(free);
        self.shares.insert(*owner, (ask.number, slots, now + terms.lease));
        Some(Answer { kept: has == ask.has, slots, keep: *keep, wait: Duration::ZERO })
    }
}

/// A question on its way.
#[derive(Clone)]
struct Question {
    owner: usize,
    ask: Ask,
    sent_on: Instant,
    /// When the database carries it out, be it late.
    carried_out: Option<Instant>,
    /// What it will be told to keep.
    keep: usize,
    answer: Option<Answer>,
    /// When its answer is there, or it is given up.
    ends: Instant,
}

struct Process {
    owner: usize,
    share: Share,
    waiting: usize,
    question: Option<Question>,
    /// Slots in use: their epoch, and when their request ends, once it was sent.
    slots: Vec<(Epoch, Option<Instant>)>,
}

struct World {
    terms: Terms,
    random: Random,
    now: Instant,
    database: Database,
    processes: Vec<Process>,
    born: usize,
    /// Questions of processes that were killed or gave up.
    late: Vec<Question>,
    /// When the requests of the dead end.
    orphans: Vec<Instant>,
    sent: usize,
    most: usize,
}

impl World {
    fn new(terms: Terms, seed: u64) -> Self {
        let mut world = Self {
            terms,
            random: Random(seed + 1),
            now: Instant::now(),
            database: Database::default(),
            processes: Vec::new(),
            born: 0,
            late: Vec::new(),
            orphans: Vec::new(),
            sent: 0,
            most: 0,
        };
        for _ in 0..PROCESSES {
            let process = world.process();
            world.processes.push(process);
        }
        world
    }

    fn process(&mut self) -> Process {
        self.born += 1;
        let share = Share::new(self.terms);
        Process { owner: self.born, share, waiting: 0, question: None, slots: Vec::new() }
    }

    fn step(&mut self) {
        self.now += STEP;
        let now = self.now;
        self.orphans.retain(|end| *end > now);
        for question in &mut self.late {
            carry_out(&mut self.database, &self.terms, now, question);
        }
        self.late.retain(|question| question.carried_out.is_some());
        for process in &mut self.processes {
            let Some(question) = &mut process.question else { continue };
            carry_out(&mut self.database, &self.terms, now, question);
            if question.ends <= now {
                match &question.answer {
                    Some(answer) if !self.random.one_in(10) => {
                        process.share.answered(&question.ask, question.sent_on, answer);
                    }
                    Some(_) | None => process.share.failed(now),
                }
                self.late.extend(process.question.take().filter(|q| q.carried_out.is_some()));
            }
        }
        for process in &mut self.processes {
            self.sent += process.work(now, &mut self.random);
        }
        if self.random.one_in(200) {
            self.kill();
        }
        let under_way: usize = self.processes.iter().map(|process| process.ends().count()).sum();
        self.most = self.most.max(under_way + self.orphans.len());
    }

    /// The remote goes on with its requests, the database with its question.
    fn kill(&mut self) {
        let heir = self.process();
        let victim = self.random.below(PROCESSES);
        let dead = std::mem::replace(&mut self.processes[victim], heir);
        self.orphans.extend(dead.ends());
        self.late.extend(dead.question.filter(|question| question.carried_out.is_some()));
    }
}

fn carry_out(database: &mut Database, terms: &Terms, now: Instant, question: &mut Question) {
    if question.carried_out.take_if(|at| *at <= now).is_some() {
        question.answer = database.carry_out(terms, now, question);
    }
}

impl Process {
    /// When the requests that are under way end.
    fn ends(&self) -> impl Iterator<Item = Instant> {
        self.slots.iter().filter_map(|(_, end)| *end)
    }

    /// Gives back, takes, sends and asks; how many it sent.
    fn work(&mut self, now: Instant, random: &mut Random) -> usize {
        let share = &mut self.share;
        self.slots.retain(|(epoch, end)| {
            let is_over = match end {
                Some(end) => *end <= now,
                None => share.leave(*epoch, now) == Leave::Lost,
            };
            if is_over {
                share.give(*epoch, now);
            }
            !is_over
        });
        self.waiting = if random.one_in(100) { 0 } else { (self.waiting + random.below(3)).min(5) };
        while self.waiting > 0
            && let Some(epoch) = share.take()
        {
            self.waiting -= 1;
            self.slots.push((epoch, None));
        }
        let mut sent = 0;
        for (epoch, end) in self.slots.iter_mut().filter(|(_, end)| end.is_none()) {
            if share.leave(*epoch, now) == Leave::Now && !random.one_in(3) {
                let takes = if random.one_in(4) { TIMEOUT } else { TIMEOUT / 10 };
                *end = Some(now + takes);
                sent += 1;
            }
        }
        if self.question.is_none()
            && let Plan::Ask(ask) = share.plan(now, self.waiting, 0)
        {
            let slow = if random.one_in(20) { 300 } else { 3 };
            let carried_out = now + random.steps(slow);
            let ends = (carried_out + random.steps(3)).min(now + limits::BUDGET_ANSWER_WITHIN);
            self.question = Some(Question {
                owner: self.owner,
                ask,
                sent_on: now,
                carried_out: Some(carried_out),
                keep: random.below(4),
                answer: None,
                ends,
            });
        }
        sent
    }
}

/// Requests that were sent, and the most at once beyond the limit.
fn simulate(target: Target) -> (usize, usize) {
    let (mut sent, mut beyond) = (0, 0);
    for seed in 0..SEEDS {
        let limit = 1 + usize::try_from(seed % 3).unwrap();
        let mut world = World::new(Terms::new(target, limit, None, TIMEOUT), seed);
        for _ in 0..STEPS {
            world.step();
        }
        sent += world.sent;
        beyond = beyond.max(world.most.saturating_sub(limit));
    }
    (sent, beyond)
}

#[test]
fn no_interleaving_of_processes_sends_more_at_once_than_a_strict_target_bears() {
    let (sent, beyond) = simulate(Target::RunSignup);
    assert!(sent > 4_000, "{sent}");
    assert_eq!(beyond, 0);
}

/// What the shorter lease of the other targets costs, and that the simulation finds it.
#[test]
fn requests_of_the_dead_may_overlap_where_the_target_does_not_count() {
    let (_, beyond) = simulate(Target::TagServer);
    assert!(beyond > 0);
}
