//! An EMS that goes on working while its surroundings fail, and what `/readyz` says meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;

use super::binary;
use super::database;
use super::parity::assert_in_sync;
use super::rig::{PATIENCE, Rig};

/// How often a fault is repeated: a few times usually, in full with `EMS_SYNC_CAMPAIGN=full`.
pub(crate) fn times(usual: usize, full: usize) -> usize {
    let is_full = std::env::var("EMS_SYNC_CAMPAIGN").is_ok_and(|campaign| campaign == "full");
    if is_full { full } else { usual }
}

/// Changes to persons and registrations, some tens a second, until it is stopped. Its connection is made anew when it
/// is lost, and what was not committed then is not repeated.
pub(crate) struct Load {
    stop: CancellationToken,
    committed: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Load {
    pub(crate) fn start(url: &str) -> Self {
        let (stop, committed) = (CancellationToken::new(), Arc::<AtomicU64>::default());
        let (stopped, counter, url) = (stop.clone(), Arc::clone(&committed), url.to_owned());
        let task = tokio::spawn(async move {
            let mut n = 0;
            while !stopped.is_cancelled() {
                if let Ok((client, connection)) = tokio_postgres::connect(&url, NoTls).await {
                    tokio::spawn(connection);
                    while !stopped.is_cancelled() {
                        n += 1;
                        if client.batch_execute(&change(n)).await.is_err() {
                            break;
                        }
                        counter.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(40)).await;
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { stop, committed, task }
    }

    fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// Waits until so many changes more were committed.
    pub(crate) async fn commits(&self, more: u64) {
        let until = self.committed() + more;
        let committed = async {
            while self.committed() < until {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, committed).await.expect("the EMS works");
    }

    /// Ends it. How many transactions were committed.
    pub(crate) async fn stop(&mut self) -> u64 {
        self.stop.cancel();
        (&mut self.task).await.unwrap();
        self.committed.load(Ordering::Relaxed)
    }
}

fn change(n: u64) -> String {
    match n % 7 {
        0 => "delete from ems.person where id = (select min(id) from ems.person where first_name = 'Load')".to_owned(),
        1 | 2 => format!("insert into ems.person (first_name, last_name) values ('Load', '{n}')"),
        3 => format!("update ems.event_participant set number = 'L{n}' where id % 61 = {n} % 61"),
        _ => format!(
            "update ems.person set last_name = 'L{n}' where id % 61 = {n} % 61 and first_name <> 'Moves'"
        ),
    }
}

/// One process of ems-sync with all roles, under load; it is never started again.
pub(crate) struct UnderLoad {
    pub(crate) load: Load,
    process: Child,
    port: u16,
}

impl UnderLoad {
    pub(crate) async fn start(rig: &mut Rig) -> Self {
        let port = binary::free_port().await;
        rig.set("OPS__LISTEN", &format!("127.0.0.1:{port}"));
        super::ems::populate(&rig.ems, 120).await;
        let process = rig.spawn(&["run", "--roles", "relay,consume,sweep,ops"]);
        let under_load = Self { load: Load::start(&rig.url), process, port };
        under_load.turns(200).await;
        under_load.load.commits(5).await;
        under_load
    }

    /// Waits until `/readyz` answers so; what it says.
    pub(crate) async fn turns(&self, status: u16) -> Value {
        let turned = async {
            loop {
                match binary::get(self.port, "/readyz", None).await {
                    Some((found, answer)) if found == status => {
                        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
                        return serde_json::from_str(body).unwrap();
                    }
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        let turned = tokio::time::timeout(PATIENCE, turned).await;
        turned.unwrap_or_else(|_| panic!("/readyz does not become {status}"))
    }

    /// Waits until a change that is made now has reached the remote: the present does not wait for the past.
    pub(crate) async fn moves(&self, rig: &Rig) {
        let name = uuid::Uuid::new_v4().to_string();
        let client = database::connect(&rig.url).await;
        let insert =
            format!("insert into ems.person (first_name, last_name) values ('Moves', '{name}')");
        client.batch_execute(&insert).await.unwrap();
        let there = rig.sim.wait_for(|| {
            let persons = rig.sim.rows(ems_sync_remotes::tagserver::Resource::Person);
            persons.iter().any(|person| person.body["lastName"] == name.as_str())
        });
        if tokio::time::timeout(PATIENCE, there).await.is_err() {
            panic!("A new change does not arrive; owed: {:#?}", rig.owed().await);
        }
    }

    /// The load ends; then everything must be where it belongs, by the same process.
    pub(crate) async fn all_arrives(mut self, rig: &mut Rig) {
        let committed = self.load.stop().await;
        rig.ems = database::connect(&rig.url).await;
        rig.settled().await;
        assert_in_sync(rig).await;
        self.turns(200).await;
        assert!(rig.sim.overlaps().iter().all(|overlap| overlap.abandoned));
        assert_eq!(self.process.try_wait().unwrap(), None, "the process healed by itself");
        self.process.kill().await.unwrap();
        eprintln!("{committed} transactions were committed meanwhile");
    }
}
