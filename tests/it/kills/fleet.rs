//! Processes that are killed, who held what when they died, and how it all comes to rest.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ems_sync::broker::{Broker, Outgoing, Publisher, Queue};
use ems_sync::delivery::{Cause, Delivery};
use ems_sync::entity::EntityRef;
use ems_sync::target::Target;
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use tokio::task::JoinHandle;

use crate::support::binary;
use crate::support::campaign;
use crate::support::checker::Checker;
use crate::support::process::{ends_within, signal};
use crate::support::rig::{PATIENCE, Rig};

pub(crate) const RELAYS: [&str; 3] = ["run", "--roles", "relay"];
pub(crate) const CONSUMES: [&str; 3] = ["run", "--roles", "consume"];
pub(crate) const RELAYS_AND_CONSUMES: [&str; 3] = ["run", "--roles", "relay,consume"];
pub(crate) const SWEEPS: [&str; 2] = ["sweep", "outbound"];

/// No request of a dead process is under way after this: the longest that a request may take, and a little.
pub(crate) const REQUESTS_ARE_OVER: Duration = Duration::from_millis(1_500);

/// What a process says of itself on standard error.
#[derive(Debug, Default)]
struct Said {
    /// Under which name it leases.
    owner: Option<String>,
    /// The point at which it killed itself.
    point: Option<String>,
    runs: bool,
    /// How many messages its consumers have published anew when it was told to stop, and how many they have given back.
    passed_on: usize,
    handed_back: usize,
    last: Vec<String>,
}

/// A process.
pub(crate) struct Process {
    child: Child,
    said: Arc<Mutex<Said>>,
    reader: JoinHandle<()>,
}

/// How a process came to its end.
#[derive(Debug)]
pub(crate) struct Death {
    pub(crate) was_killed: bool,
    pub(crate) point: Option<String>,
    /// Its warnings and errors.
    pub(crate) last: Vec<String>,
}

/// How a process has stopped that was told to.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) took: Duration,
    /// How many messages that it had not begun it has published anew.
    pub(crate) passed_on: usize,
    /// How many it has given back, to be delivered again.
    pub(crate) handed_back: usize,
}

/// The number that follows a word in a log line; zero where there is none.
fn number_in(line: &str, word: &str) -> usize {
    let Some((_, rest)) = line.split_once(word) else { return 0 };
    rest.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

impl Process {
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

/// The processes of one rig.
pub(crate) struct Fleet<'a> {
    pub(crate) rig: &'a Rig,
    publisher: Publisher,
    /// Owners of leases that died, and when.
    dead: Vec<(String, Instant)>,
    pub(crate) kills: usize,
}

impl<'a> Fleet<'a> {
    pub(crate) fn new(rig: &'a Rig) -> Self {
        let url = SecretString::from(rig.services.amqp_url.clone());
        let publisher = Publisher::new(Broker::new(url, rig.prefix.clone()), "test");
        Self { rig, publisher, dead: Vec::new(), kills: 0 }
    }

    /// Starts a process, which kills itself when it has passed a point so many times.
    pub(crate) fn spawn(&self, arguments: &[&str], at: Option<(&str, usize)>) -> Process {
        let mut command = binary::of(self.rig, arguments);
        if let Some((point, passes)) = at {
            let dies = if passes > 0 { format!("{passes}*off->return") } else { "return".into() };
            command.env("FAILPOINTS", format!("{point}={dies}"));
        }
        command.stdout(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(Said::default()));
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let heard = Arc::clone(&said);
        let reader = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let mut said = heard.lock().unwrap();
                if let Some((_, owner)) = line.split_once("lease.owner=") {
                    said.owner = owner.get(..36).map(str::to_owned);
                }
                // A second thread may die at it too, in the middle of the line.
                let point =
                    line.strip_prefix("failpoint ").and_then(|s| s.strip_suffix(": killed"));
                if let Some(point) = point {
                    said.point = Some(point.to_owned());
                }
                said.passed_on += number_in(&line, "passed_on=");
                said.handed_back += number_in(&line, "handed_back=");
                said.runs |= line.contains("ems-sync runs");
                if !line.contains(" INFO ") {
                    said.last.push(line);
                }
            }
        });
        Process { child, said, reader }
    }

    /// Waits until a process plays its roles.
    pub(crate) async fn ready(&self, process: &Process) {
        let ready = async {
            let mut pace = tokio::time::interval(Duration::from_millis(5));
            while !process.said.lock().unwrap().runs {
                pace.tick().await;
            }
        };
        let ready = tokio::time::timeout(PATIENCE, ready).await;
        assert!(ready.is_ok(), "it runs: {:?}", process.said.lock().unwrap());
    }

    /// Waits for the next moment in which a process holds a lease; not for long.
    pub(crate) async fn at_work(&self, process: &Process) {
        let Some(owner) = process.said.lock().unwrap().owner.clone() else { return };
        let sql = format!("select count(*) from sync.record where lease_owner = '{owner}'");
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until && self.rig.count(&sql).await == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Kills a process. How many leases it leaves behind.
    pub(crate) async fn kill(&mut self, mut process: Process) -> i64 {
        process.child.start_kill().ok();
        let owner = process.said.lock().unwrap().owner.clone();
        self.bury(process).await;
        match owner {
            None => 0,
            Some(owner) => {
                let sql = "select count(*) from sync.record where lease_owner::text = ";
                self.rig.count(&format!("{sql}'{owner}'")).await
            }
        }
    }

    /// Tells a process to stop, as a rolling restart does.
    pub(crate) async fn stop(&self, mut process: Process) -> Stopped {
        let told = Instant::now();
        signal(&process.child, "TERM").await;
        assert_eq!(ends_within(&mut process.child, 60).await, Some(0));
        let took = told.elapsed();
        process.reader.await.unwrap();
        let said = std::mem::take(&mut *process.said.lock().unwrap());
        let is_late =
            |line: &String| line.contains("not end in time") || line.contains("ended in time");
        assert!(!said.last.iter().any(is_late), "{:#?}", said.last);
        Stopped { took, passed_on: said.passed_on, handed_back: said.handed_back }
    }

    /// Waits for the end of a process that is about to end, and remembers what it may have held.
    pub(crate) async fn bury(&mut self, mut process: Process) -> Death {
        let status = tokio::time::timeout(PATIENCE, process.child.wait()).await;
        let status = status.expect("it ends").unwrap();
        process.reader.await.unwrap();
        let said = std::mem::take(&mut *process.said.lock().unwrap());
        let was_killed = status.signal() == Some(9);
        assert!(!said.last.iter().any(|line| line.contains("panicked")), "{:#?}", said.last);
        self.kills += usize::from(was_killed);
        self.dead.extend(said.owner.map(|owner| (owner, Instant::now())));
        Death { was_killed, point: said.point, last: said.last }
    }

    /// The leases of those run out whose requests can't be under way any more, and everybody is told.
    pub(crate) async fn reap(&mut self) {
        let is_over = |died: &Instant| died.elapsed() >= REQUESTS_ARE_OVER;
        let owners: Vec<String> =
            self.dead.extract_if(.., |(_, died)| is_over(died)).map(|(owner, _)| owner).collect();
        if owners.is_empty() {
            return;
        }
        // In key order, like everybody who locks several records.
        let sql = "with dead as (
                       select target, entity_type, entity_id from sync.record
                       where lease_owner::text = any ($1)
                       order by target, entity_type, entity_id
                       for update)
                   update sync.record r set due_on = clock_timestamp(), lease_until = clock_timestamp()
                   from dead d
                   where r.target = d.target and r.entity_type = d.entity_type and r.entity_id = d.entity_id
                   returning r.entity_type, r.entity_id, r.target";
        let rows = self.rig.ems.query(sql, &[&owners]).await.unwrap();
        let message = |row: &tokio_postgres::Row| {
            let entity_type = row.get::<_, &str>(0).parse().unwrap();
            let entity = EntityRef::new(entity_type, row.get(1));
            let target: Target = row.get::<_, &str>(2).parse().unwrap();
            let delivery = Delivery::new(target, entity, Cause::Change, Timestamp::now());
            Outgoing { queue: Queue::outbound(target), delivery }
        };
        let messages: Vec<_> = rows.iter().map(message).collect();
        self.publisher.publish(&messages).await.unwrap();
    }

    /// The faults stop, everything comes to rest, and the checker looks: nothing may be wrong.
    pub(crate) async fn drain_and_check(mut self, checker: &Checker) {
        self.rig.sim.faults().clear();
        tokio::time::sleep(REQUESTS_ARE_OVER).await;
        self.reap().await;
        let process = self.spawn(&RELAYS_AND_CONSUMES, None);
        campaign::until_calm(self.rig).await;
        self.kill(process).await;
        campaign::make_amends(self.rig).await;
        let process = self.spawn(&RELAYS_AND_CONSUMES, None);
        campaign::until_looked_back(self.rig).await;
        let owed = "select count(*) from sync.record where owed_gen > done_gen";
        self.rig.until(owed, "done").await;
        let mut report = checker.check(self.rig, &BTreeSet::new()).await;
        checker.silence(self.rig, &mut report).await;
        eprintln!("{} kills: {report}", self.kills);
        report.assert_clean();
        self.kill(process).await;
    }
}
