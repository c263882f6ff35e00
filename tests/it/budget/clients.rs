//! Budgets of several processes in one, each with its keeper: what their holders may do at once, how fair it is, and what
//! happens without a database.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ems_sync::deliver::budget::Terms;
use ems_sync::deliver::budget::shared::{self, SharedBudget};
use ems_sync::limits;
use ems_sync::remote::budget::Budget as _;
use ems_sync::remote::{HttpSettings, Push, SendBefore};
use ems_sync::store::Store;
use ems_sync::target::Target;
use ems_sync_remotes::tagserver::TagServerOptions;
use futures_util::FutureExt as _;
use secrecy::SecretString;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{assert_rate, most_at_once};
use crate::support::database::{self, Services};
use crate::support::proxy::{Proxy, Way};
use crate::support::rig::PATIENCE;
use crate::tagserver::bench::{Bench, settings, word};

struct Process {
    budget: Arc<SharedBudget>,
    keeper: JoinHandle<()>,
}

impl Process {
    fn start(url: &str, terms: Terms) -> Self {
        let store = Store::new(&SecretString::from(url.to_owned()), "budget").unwrap();
        let (budget, keeper) = shared::open(store, Target::RunSignup, terms);
        Self { budget: Arc::new(budget), keeper: tokio::spawn(keeper.run()) }
    }

    /// Ends well: what it has is given back.
    async fn end(self) {
        drop(self.budget);
        tokio::time::timeout(PATIENCE, self.keeper).await.expect("ends").unwrap();
    }
}

fn terms(limit: usize, rate: Option<u32>) -> Terms {
    let timeout = Duration::from_secs(5);
    Terms::new(Target::RunSignup, limit, rate.and_then(NonZeroU32::new), timeout)
}

/// Requests under way, counted by who sends them.
#[derive(Default)]
struct Remote {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Remote {
    async fn request(&self, takes: Duration) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(takes).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// As many requests at once as it may, until then; how many it sent.
async fn send_until(
    budget: Arc<SharedBudget>,
    remote: Arc<Remote>,
    takes: Duration,
    until: Instant,
) -> usize {
    let one_after_the_other = || async {
        let mut sent = 0;
        while Instant::now() < until {
            let Ok(permit) = tokio::time::timeout_at(until, budget.slot()).await else { break };
            if permit.turn().await && permit.reaches() {
                remote.request(takes).await;
                sent += 1;
            }
        }
        sent
    };
    let all = [(); 6].map(|()| one_after_the_other());
    futures_util::future::join_all(all).await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_share_two_slots_evenly_and_leave_none_unused() {
    const SECONDS: usize = 10;
    let url = database::create(&Services::get()).await;
    let remote = Arc::new(Remote::default());
    let takes = Duration::from_millis(20);
    let until = Instant::now() + Duration::from_secs(SECONDS as u64);
    let processes: Vec<_> = (0..4).map(|_| Process::start(&url, terms(2, None))).collect();
    let sending = processes
        .iter()
        .map(|process| send_until(Arc::clone(&process.budget), Arc::clone(&remote), takes, until));
    let sent = futures_util::future::join_all(sending).await;
    let all: usize = sent.iter().sum();
    let possible = 2 * SECONDS * 1_000 / 20;
    eprintln!("{sent:?}: {all} of {possible}");
    assert_eq!(remote.most.load(Ordering::SeqCst), 2);
    assert!(all > possible / 2, "slots lay unused: {sent:?}, possible are {possible}");
    assert!(sent.iter().all(|sent| *sent > all / 10), "one starved: {sent:?}");
    for process in processes {
        process.end().await;
    }
    let db = database::connect(&url).await;
    let left = "select coalesce(sum(slots), 0)::bigint from sync.budget_share";
    assert_eq!(db.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
}

/// A process that is alone asks four times a second, however much it sends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_alone_asks_no_more_than_its_beat() {
    let url = database::create(&Services::get()).await;
    let remote = Arc::new(Remote::default());
    let process = Process::start(&url, terms(6, None));
    let begin = Instant::now();
    let until = begin + Duration::from_secs(3);
    let budget = Arc::clone(&process.budget);
    let sent = send_until(budget, Arc::clone(&remote), Duration::from_millis(1), until).await;
    let beats = begin.elapsed().as_millis() / limits::BUDGET_BEAT.as_millis();
    let db = database::connect(&url).await;
    let asked = "select asked from sync.budget_share";
    let asked: i64 = db.query_one(asked, &[]).await.unwrap().get(0);
    eprintln!("{sent} requests, {asked} questions");
    assert!(sent > 1_000, "{sent}");
    // Besides its beat it asks when it wants more than before: at most once per slot.
    assert!(u128::try_from(asked).unwrap() <= beats + 6 + 2, "{asked} questions, {beats} beats");
    process.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_gives_up_waiting_takes_nothing_along() {
    let url = database::create(&Services::get()).await;
    let process = Process::start(&url, terms(1, None));
    let permit = process.budget.slot().await;
    for _ in 0..20 {
        let mut waits = process.budget.slot();
        assert!((&mut waits).now_or_never().is_none());
        drop(waits);
    }
    let mut first = process.budget.slot();
    assert!((&mut first).now_or_never().is_none());
    let mut second = process.budget.slot();
    assert!((&mut second).now_or_never().is_none());
    drop(permit);
    assert!((&mut second).now_or_never().is_none(), "the first is first");
    // The first was given the slot, and gives up without having looked.
    drop(first);
    assert!(tokio::time::timeout(PATIENCE, second).await.expect("is next").turn().await);
    process.end().await;
}

/// Nothing is sent that was not granted, waiting ends in time, and it goes on when the database is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_nothing_is_sent_and_waiting_ends_in_time() {
    let url = database::create(&Services::get()).await;
    let (mut proxy, through) = Proxy::to_url(&url).await;
    let process = Process::start(&through, terms(2, None));
    proxy.refuse().await;
    let patience = || async {
        SendBefore::from(Instant::now() + Duration::from_millis(400)).passes().await;
    };
    tokio::select! {
        _ = process.budget.slot() => panic!("nobody granted a slot"),
        () = patience() => {}
    }
    proxy.accept();
    let permit = tokio::time::timeout(PATIENCE, process.budget.slot()).await.expect("is granted");
    assert!(permit.turn().await && permit.reaches());
    // Nothing gets through any more, and no answer comes back: the lease is not prolonged.
    proxy.black_hole();
    let runs_out = async {
        while permit.reaches() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, runs_out).await.expect("the lease runs out");
    tokio::select! {
        _ = permit.turn() => panic!("nobody prolonged the lease"),
        () = patience() => {}
    }
    proxy.heal();
    assert!(proxy.passed(Way::ToServer) > 0);
    // Whether it was prolonged or lost, it is told within a time-out of the database.
    let told = tokio::time::timeout(PATIENCE, permit.turn()).await.expect("is told");
    eprintln!("the slot was {}", if told { "kept" } else { "lost" });
    drop(permit);
    let permit = tokio::time::timeout(PATIENCE, process.budget.slot()).await.expect("goes on");
    assert!(permit.turn().await);
    drop(permit);
    process.end().await;
}

/// A client of a real remote: a push without budget is not sent, and burns nothing.
#[tokio::test]
async fn a_push_that_gets_no_slot_in_time_is_not_sent() {
    let nowhere = "postgres://ems@127.0.0.1:1/ems";
    let process = Process::start(nowhere, terms(2, None));
    let budget = Arc::clone(&process.budget);
    let with = |http: &mut HttpSettings| http.budget = Some(budget);
    let bench = Bench::with(TagServerOptions::default(), with).await;
    let soon = SendBefore::from(Instant::now() + Duration::from_millis(300));
    let push = Push { send_before: soon, ..bench.create(1, "A") };
    assert_eq!(word(&bench.one(push).await), "not_sent");
    assert_eq!(bench.sim.journal(), []);
}

/// Logins, looks and writes of four clients, with two at once and forty per second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_of_four_clients_counts() {
    let url = database::create(&Services::get()).await;
    let bench = Bench::new().await;
    bench.sim.set_latency(Duration::from_millis(80));
    let processes: Vec<_> = (0..4).map(|_| Process::start(&url, terms(2, Some(40)))).collect();
    let clients: Vec<_> = processes
        .iter()
        .map(|process| {
            let budget =
                Some(Arc::clone(&process.budget) as Arc<dyn ems_sync::remote::budget::Budget>);
            let bench = Bench {
                settings: HttpSettings { budget, ..settings(&bench.sim) },
                ..bench.fresh()
            };
            bench.fresh().without_bulk()
        })
        .collect();
    let pushing = clients.iter().zip(0_i64..).map(|(client, n)| async move {
        let pushes = (1..=20).map(|id| client.create(n * 100 + id, "A")).collect();
        client.many(pushes).await
    });
    for results in futures_util::future::join_all(pushing).await {
        assert!(results.values().all(|result| word(result) == "held"), "{results:?}");
    }
    let journal = bench.sim.journal();
    assert!(journal.len() >= 80 + 4, "{}", journal.len());
    assert_eq!(most_at_once(&journal), 2);
    // A tenth of a second for tokens that are used late, and what the way to the remote may vary on a busy machine.
    assert_rate(&journal, 40.0, limits::BUDGET_TOKEN_KEPT + Duration::from_millis(200));
    drop(clients);
    for process in processes {
        process.end().await;
    }
}
