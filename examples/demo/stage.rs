//! The stage of the demo: database, remotes and worker, and how the story waits for what happens between them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ems_sync_remotes::tagserver::Resource;
use ems_sync_remotes::{Effect, Entry};
use jiff::Timestamp;

use crate::ems::{Change, Ems};
use crate::environment::Services;
use crate::platforms::Platforms;
use crate::remote::{Remote, Writes};
use crate::runners::Entries;
use crate::screen::{Screen, count, took};
use crate::tagserver::TagServer;
use crate::worker::Worker;

/// Nothing in the story takes this long, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(180);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

pub(crate) struct Stage {
    pub(crate) screen: Screen,
    pub(crate) ems: Ems,
    pub(crate) tagserver: TagServer,
    pub(crate) platforms: Platforms,
    pub(crate) worker: Worker,
    pub(crate) entries: Entries,
    /// How many enter at first.
    pub(crate) runners: usize,
    /// Row writes during the step in which nothing was to be written.
    pub(crate) idle_writes: u64,
}

impl Stage {
    /// Builds it: the first step of the story.
    pub(crate) async fn build(
        mut screen: Screen,
        services: &Services,
        runners: usize,
    ) -> Result<Self> {
        screen.step("An EMS, five remotes, and a worker between them");
        screen.say(
            "All of it is private to this run, and all people are invented. A ✓ marks what has to be so: the demo \
             fails if it is not.",
        );
        let folder = folder()?;
        let ems = Ems::create(&services.database_url).await?;
        screen.figure("EMS: a new database in Postgres", ems.name());
        let tagserver = TagServer::start(&folder).await?;
        screen.figure("TagServer, simulated: HTTPS, private CA, JWT", tagserver.base_url());
        let platforms = Platforms::start(&folder).await?;
        for remote in platforms.all() {
            let name = title(remote.name());
            screen.figure(&format!("{name}, simulated: HTTPS, private CA"), remote.base_url());
        }
        let prefix = ems.name().replace('_', "-");
        let url = ems.url()?;
        let mut worker =
            Worker::new(&url, &services.amqp_url, &prefix, (&tagserver, &platforms), &folder)?;
        let began = Instant::now();
        worker.run(&["migrate"]).await?;
        screen.figure(
            "ems-sync migrate: schema sync, triggers on the EMS, queues",
            &took(began.elapsed()),
        );
        let ready_after = worker.start().await?;
        screen.figure("ems-sync run: ready", &took(ready_after));
        screen.note(&format!("The worker's log: {}", worker.log().display()));
        Ok(Self {
            screen,
            ems,
            tagserver,
            platforms,
            worker,
            entries: Entries::new(),
            runners,
            idle_writes: 0,
        })
    }

    /// Ends all processes in order. The database goes too, unless somebody may want to look into it.
    pub(crate) async fn strike(mut self) -> Result<()> {
        let worker = self.worker.stop().await;
        let remotes = self.tagserver.stop().await.and(self.platforms.stop().await);
        if self.screen.wrong() > 0 {
            self.screen.note(&format!("Database {} is kept.", self.ems.name()));
        } else {
            self.ems.drop_database().await?;
        }
        worker.and(remotes)
    }

    /// Waits until nothing is left to be done.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        within("All changes are where they belong", async {
            let mut most = 0;
            let began = Instant::now();
            loop {
                let backlog = self.ems.backlog().await?;
                if backlog.left == 0 {
                    return Ok(());
                }
                most = most.max(backlog.left);
                let text = if self.screen.is_terminal() {
                    format!("done, {}: {}", took(began.elapsed()), backlog.states)
                } else {
                    format!("changes are done; {}", backlog.states)
                };
                self.screen.progress(most - backlog.left, most, &text);
                self.worker.ensure_alive()?;
                tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            }
        })
        .await
    }

    /// Watches a load until nothing is left to be done, and shows how far it is.
    pub(crate) async fn load(&mut self, change: &Change) -> Result<()> {
        let before = self.rows_written().await?;
        within("All rows are at TagServer", async {
            while self.ems.backlog().await?.left > 0 {
                let rows = self.rows_written().await? - before;
                let elapsed = since(change.committed_on, Timestamp::now());
                let text = format!("rows at TagServer, {} rows/s", per_second(rows, elapsed));
                self.screen.progress(rows, change.rows, &text);
                self.worker.ensure_alive()?;
                tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            }
            Ok(())
        })
        .await
    }

    /// All rows that TagServer has written so far.
    pub(crate) async fn rows_written(&self) -> Result<u64> {
        Ok(self.tagserver.counters().await?.writes_applied())
    }

    /// From the commit to TagServer's answer about this row.
    pub(crate) async fn arrival(
        &self,
        mark: u64,
        change: &Change,
        resource: Resource,
        id: i64,
    ) -> Result<Duration> {
        let external_id = id.to_string();
        let what = format!("{resource}/{id} is at TagServer");
        let answered =
            self.tagserver.until(mark, |entries| answered(entries, resource, &external_id));
        Ok(since(change.committed_on, within(&what, answered).await?))
    }

    /// From the commit until the remote has answered the last write about this entity that it has applied; of
    /// `wanted` such writes (two lists take two).
    pub(crate) async fn arrival_at(
        remote: &Remote,
        mark: u64,
        change: &Change,
        id: i64,
        wanted: usize,
    ) -> Result<Duration> {
        let external_id = id.to_string();
        let is_it = |entry: &&Entry| {
            let mut rows = entry.rows.iter().filter(|row| row.effect != Effect::Refused);
            entry.operation.is_write()
                && entry.ended_at.is_some()
                && rows.any(|row| row.external_id.as_deref() == Some(&external_id))
        };
        let answered = remote.until(mark, |entries| {
            entries.iter().filter(is_it).nth(wanted - 1).and_then(|entry| entry.ended_at)
        });
        let what = format!("A change of {id} is at {}", title(remote.name()));
        Ok(since(change.committed_on, within(&what, answered).await?))
    }

    /// The writes since `mark`, and how long after the commit the last of them was answered.
    pub(crate) async fn outcome(&self, mark: u64, change: &Change) -> Result<(Writes, Duration)> {
        let writes = self.tagserver.writes_since(mark).await?;
        let last = writes.last.context("TagServer was not written to")?;
        Ok((writes, since(change.committed_on, last)))
    }

    /// What may help to understand a failure.
    pub(crate) async fn show_troubles(&mut self) {
        for trouble in self.ems.troubles().await {
            self.screen.line(&format!("      {trouble}"));
        }
        self.screen.line(&format!("    The end of {}:", self.worker.log().display()));
        for line in self.worker.last_words() {
            self.screen.line(&format!("      {line}"));
        }
    }
}

/// A remote's name for people.
pub(crate) fn title(name: &str) -> &str {
    match name {
        "tagserver" => "TagServer",
        "mautic" => "Mautic",
        "mailchimp" => "MailChimp",
        "runsignup" => "RunSignup",
        "chatwoot" => "Chatwoot",
        other => other,
    }
}

/// When TagServer answered a write that it applied to this row.
fn answered(entries: &[Entry], resource: Resource, external_id: &str) -> Option<Timestamp> {
    let is_it = |entry: &&Entry| {
        entry.resource.as_deref() == Some(resource.segment())
            && entry.rows.iter().any(|row| {
                row.effect != Effect::Refused && row.external_id.as_deref() == Some(external_id)
            })
    };
    entries.iter().filter(is_it).find_map(|entry| entry.ended_at)
}

/// Waits for a fact, but not for ever.
pub(crate) async fn within<T>(fact: &str, wait: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(result) => result,
        Err(_) => anyhow::bail!("Not so after {} s: {fact}", PATIENCE.as_secs()),
    }
}

pub(crate) fn since(from: Timestamp, to: Timestamp) -> Duration {
    to.duration_since(from).try_into().unwrap_or_default()
}

pub(crate) fn per_second(n: u64, time: Duration) -> String {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    count(n.saturating_mul(1000) / millis)
}

/// Where the log and the CA are: `target/demo`.
fn folder() -> Result<PathBuf> {
    let demo = std::env::current_exe().context("The demo's own file can't be found")?;
    let target = demo.ancestors().nth(3).context("The demo is not in target/…/examples")?;
    let folder = target.join("demo");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("{} can't be made", folder.display()))?;
    // As it is seen from here, where that is shorter.
    let here = std::env::current_dir()?;
    Ok(folder.strip_prefix(here).map_or(folder.clone(), Path::to_owned))
}
