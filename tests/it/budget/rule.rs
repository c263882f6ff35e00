//! The rule in Postgres: shares never exceed the limit, expire, are fair, and every token is a moment of its own.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::support::database::{self, Services};
use crate::support::random::Random;
use crate::support::rig::PATIENCE;

/// A process, as the rule sees it.
struct Owner {
    id: Uuid,
    asked: i64,
    has: i32,
    keep: i32,
    wants: i32,
}

/// What is the same for all of them.
#[derive(Clone, Copy)]
struct Terms {
    limit: i32,
    lease: f64,
    turn: f64,
    wish: f64,
}

/// A lease that outlasts the test, and a turn that is over at once.
const LONG: Terms = Terms { limit: 16, lease: 600.0, turn: 0.0, wish: 600.0 };

impl Owner {
    fn new() -> Self {
        Self { id: Uuid::new_v4(), asked: 0, has: 0, keep: 0, wants: 0 }
    }

    fn wanting(wants: i32) -> Self {
        Self { wants, ..Self::new() }
    }

    /// Asks with a number and what it says it has: kept, slots, keep; nothing when it comes late.
    async fn say(
        &self,
        db: &Client,
        terms: Terms,
        asked: i64,
        has: i32,
    ) -> Option<(bool, i32, i32)> {
        let sql = "select kept, slots, keep from sync.ask_budget('runsignup', $1, $2, $3, $4 * interval '1 second',
                   $5, $6, 0, 1, $7 * interval '1 second', $8 * interval '1 second')";
        let (Terms { limit, lease, turn, wish }, wants) = (terms, self.wants);
        let parameters: &[&(dyn ToSql + Sync)] =
            &[&self.id, &asked, &limit, &lease, &has, &wants, &turn, &wish];
        let row = db.query_opt(sql, parameters).await;
        row.unwrap().map(|row| (row.get(0), row.get(1), row.get(2)))
    }

    /// Gives back what it need not keep, and asks; whether it kept the rest.
    async fn ask(&mut self, db: &Client, terms: Terms) -> bool {
        self.asked += 1;
        let has = self.has.min(self.keep);
        let (kept, slots, keep) = self.say(db, terms, self.asked, has).await.expect("is answered");
        (self.has, self.keep) = (slots, keep);
        kept
    }
}

async fn database() -> (String, Client) {
    let url = database::create(&Services::get()).await;
    let client = database::connect(&url).await;
    (url, client)
}

async fn leased(db: &Client) -> i64 {
    let sql = "select coalesce(sum(slots) filter (where until > clock_timestamp()), 0) from sync.budget_share";
    db.query_one(sql, &[]).await.unwrap().get(0)
}

/// Several ask once each, in this order; what each has then.
async fn round(db: &Client, terms: Terms, owners: &mut [Owner]) -> Vec<i32> {
    for owner in &mut *owners {
        assert!(owner.ask(db, terms).await);
    }
    owners.iter().map(|owner| owner.has).collect()
}

#[tokio::test]
async fn wishes_that_fit_are_granted_and_what_nobody_wants_may_be_kept() {
    let (_, db) = database().await;
    let mut owners = [Owner::wanting(5), Owner::wanting(6), Owner::wanting(5)];
    assert_eq!(round(&db, LONG, &mut owners).await, [5, 6, 5]);
    owners[0].wants = 1;
    assert_eq!(round(&db, LONG, &mut owners).await, [5, 6, 5], "it keeps what nobody else wants");
    owners[1].wants = 9;
    assert_eq!(round(&db, LONG, &mut owners).await, [5, 6, 5]);
    // The first hears of it, and gives back so much that the others have their wish.
    round(&db, LONG, &mut owners).await;
    assert_eq!(round(&db, LONG, &mut owners).await, [2, 9, 5]);
}

#[tokio::test]
async fn where_wishes_do_not_fit_each_gets_its_wish_up_to_an_equal_level() {
    let (_, db) = database().await;
    let mut owners = [Owner::wanting(16), Owner::wanting(16), Owner::wanting(2)];
    assert_eq!(round(&db, LONG, &mut owners).await, [16, 0, 0]);
    for _ in 0..3 {
        round(&db, LONG, &mut owners).await;
    }
    assert_eq!(round(&db, LONG, &mut owners).await, [7, 7, 2]);
    // Who wants nothing any more leaves it to the others.
    owners[0].wants = 0;
    owners[1].wants = 12;
    for _ in 0..3 {
        round(&db, LONG, &mut owners).await;
    }
    assert_eq!(round(&db, LONG, &mut owners).await, [0, 12, 2]);
}

#[tokio::test]
async fn with_fewer_slots_than_processes_they_go_round_to_who_waits_for_longest() {
    let (_, db) = database().await;
    let two = Terms { limit: 2, ..LONG };
    let mut owners: Vec<Owner> = (0..4).map(|_| Owner::wanting(2)).collect();
    let mut served = [0; 4];
    let mut hungry = [0; 4];
    for _ in 0..40 {
        let has = round(&db, two, &mut owners).await;
        assert!(has.iter().sum::<i32>() <= 2, "{has:?}");
        for (i, slots) in has.iter().enumerate() {
            served[i] += slots;
            hungry[i] = if *slots > 0 { 0 } else { hungry[i] + 1 };
            assert!(hungry[i] <= 6, "the {i}th starves: {served:?}");
        }
    }
    let (most, least) = (served.iter().max().unwrap(), served.iter().min().unwrap());
    assert!(most - least <= 6, "{served:?}");
    // As long as its turn lasts, nobody has to go.
    let patient = Terms { turn: 600.0, ..two };
    let before = round(&db, patient, &mut owners).await;
    round(&db, patient, &mut owners).await;
    assert_eq!(round(&db, patient, &mut owners).await, before);
}

#[tokio::test]
async fn the_slots_of_a_process_that_fell_silent_are_free_when_its_lease_has_run_out_and_not_before()
 {
    let (_, db) = database().await;
    let short = Terms { limit: 2, lease: 1.5, ..LONG };
    let mut dead = Owner::wanting(2);
    dead.ask(&db, short).await;
    let until = "select until from sync.budget_share where owner = $1";
    let until: jiff::Timestamp = db.query_one(until, &[&dead.id]).await.unwrap().get(0);
    let mut heir = Owner::wanting(2);
    let wait = async {
        loop {
            heir.ask(&db, short).await;
            if heir.has > 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the lease runs out");
    let turn_on = "select turn_on from sync.budget_share where owner = $1";
    let turn_on: jiff::Timestamp = db.query_one(turn_on, &[&heir.id]).await.unwrap().get(0);
    assert!(turn_on >= until, "{turn_on} is before {until}");
    assert!(!dead.ask(&db, short).await, "what it had is not its own any more");
    assert!(leased(&db).await <= 2);
}

/// A statement that hung, and is carried out after the next one.
#[tokio::test]
async fn a_question_that_comes_late_changes_nothing() {
    let (_, db) = database().await;
    let two = Terms { limit: 2, ..LONG };
    let owner = Owner::wanting(2);
    assert_eq!(owner.say(&db, two, 2, 0).await, Some((true, 2, 2)));
    let before = db.query_one("select b::text from sync.budget_share b", &[]).await.unwrap();
    assert_eq!(owner.say(&db, two, 1, 0).await, None);
    assert_eq!(owner.say(&db, two, 2, 0).await, None);
    let after = db.query_one("select b::text from sync.budget_share b", &[]).await.unwrap();
    assert_eq!(before.get::<_, String>(0), after.get::<_, String>(0));
    // The answer that said two was lost: what it says that it has counts.
    assert_eq!(Owner { wants: 1, ..owner }.say(&db, two, 3, 0).await, Some((true, 1, 2)));
}

/// Six processes at once, each with a connection of its own, that ask, give back, change their minds, die and begin anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_never_exceed_the_limit_whatever_the_interleaving() {
    let (url, db) = database().await;
    let mut random = Random::seeded("shares_never_exceed_the_limit_whatever_the_interleaving");
    let terms = Terms { limit: 5, lease: 0.05, turn: 0.01, wish: 0.05 };
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (url, mut random) = (url.clone(), random.fork());
        tasks.spawn(async move {
            let db = database::connect(&url).await;
            let mut owner = Owner::new();
            let mut granted = 0_u64;
            for _ in 0..400 {
                match random.below(10) {
                    0 => owner = Owner::new(),
                    1 => owner.keep = random.below(3) as i32,
                    2 => tokio::time::sleep(Duration::from_millis(random.below(60) as u64)).await,
                    _ => {}
                }
                owner.wants = random.below(8) as i32;
                owner.ask(&db, terms).await;
                granted += owner.has as u64;
                // The shares that live at the moment of a snapshot that no writer can change meanwhile.
                let leased = leased(&db).await;
                assert!(leased <= 5, "{leased} slots of 5");
            }
            granted
        });
    }
    let granted: u64 = tasks.join_all().await.into_iter().sum();
    assert!(granted > 500, "hardly anything was granted: {granted}");
    assert!(leased(&db).await <= 5);
}

/// Whatever they wanted before, once the wishes stay as they are everybody has its part and nothing is left lying.
#[tokio::test]
async fn shares_settle_to_what_is_fair() {
    let (_, db) = database().await;
    let mut random = Random::seeded("shares_settle_to_what_is_fair");
    for _ in 0..15 {
        db.batch_execute("delete from sync.budget_share").await.unwrap();
        let limit = 1 + random.below(12) as i32;
        let terms = Terms { limit, turn: 600.0, ..LONG };
        let mut owners: Vec<Owner> = (0..=random.below(5)).map(|_| Owner::new()).collect();
        for _ in 0..20 {
            let n = random.below(owners.len());
            let owner = &mut owners[n];
            owner.wants = random.below(10) as i32;
            owner.ask(&db, terms).await;
        }
        for owner in &mut owners {
            owner.wants = random.below(10) as i32;
        }
        for _ in 0..6 {
            round(&db, terms, &mut owners).await;
        }
        let wishes: Vec<i32> = owners.iter().map(|owner| owner.wants.min(limit)).collect();
        let has: Vec<i32> = owners.iter().map(|owner| owner.has).collect();
        let shown = format!("limit {limit}, wishes {wishes:?}, has {has:?}");
        if wishes.iter().sum::<i32>() <= limit {
            assert!(wishes.iter().zip(&has).all(|(wish, has)| has >= wish), "{shown}");
            continue;
        }
        assert_eq!(has.iter().sum::<i32>(), limit, "{shown}");
        let level = (0..=limit)
            .filter(|level| wishes.iter().map(|wish| wish.min(level)).sum::<i32>() <= limit)
            .max()
            .unwrap();
        for (wish, has) in wishes.iter().zip(&has) {
            assert!(*has >= *wish.min(&level) && *has <= *wish.min(&(level + 1)), "{shown}");
        }
    }
}

/// Four processes take blocks at once: no two tokens have the same moment, and they stand an interval apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_all_processes_are_moments_an_interval_apart() {
    const BLOCKS: i64 = 40;
    let (url, db) = database().await;
    let rate = 1_000.0;
    let begin: jiff::Timestamp =
        db.query_one("select clock_timestamp()", &[]).await.unwrap().get(0);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let url = url.clone();
        tasks.spawn(async move {
            let db = database::connect(&url).await;
            let owner = Uuid::new_v4();
            for asked in 1..=BLOCKS {
                let sql = "select wait_seconds from sync.ask_budget('runsignup', $1, $2, 2, interval '1 minute',
                           0, 0, 10, $3, interval '1 second', interval '1 second')";
                db.query_one(sql, &[&owner, &asked, &rate]).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let sql = "select next_on from sync.budget where target = 'runsignup'";
    let next_on: jiff::Timestamp = db.query_one(sql, &[]).await.unwrap().get(0);
    // 1,600 tokens at a thousand per second, whoever took them when.
    let lasts = next_on.duration_since(begin).as_secs_f64();
    assert!(lasts >= 1.6, "{lasts}");
}
