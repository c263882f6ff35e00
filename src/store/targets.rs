//! The shared state of the targets: what people and the breaker decided, read by every process.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Row};

use super::{Store, StoreError};
use crate::deliver::binding::Part;
pub use crate::deliver::breaker::rule::BreakerState;
use crate::deliver::breaker::rule::{self, Effect, Standing, Window};
use crate::entity::EntityRef;
use crate::limits;
use crate::target::Target;

/// The shared state of one target, at one moment of the database's clock.
#[derive(Debug, Clone, PartialEq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, any of them may hold at once"
)]
pub struct TargetState {
    /// The target.
    pub target: Target,
    /// A person paused it.
    pub paused: bool,
    /// A person, a refusal or lasting failure disabled it.
    pub disabled: bool,
    /// Why, when it is disabled.
    pub disabled_reason: Option<String>,
    /// The breaker.
    pub breaker: BreakerState,
    /// A probe may go out.
    pub breaker_is_due: bool,
    /// Pauses in a row.
    pub breaker_failures: i32,
    /// The target asked for a pause until then; `None` when it is over.
    pub throttled_until: Option<Timestamp>,
    /// When the breaker lets a probe through.
    pub breaker_until: Option<Timestamp>,
    /// When a probe or a person closed the breaker last.
    pub closed_on: Option<Timestamp>,
    /// Closed, but no push was served since.
    pub on_trial: bool,
    /// How long it has been open for business again; `None`: for longer than a slow start.
    pub open_for: Option<Duration>,
    /// It has failed of late: a success has something to forgive.
    pub has_blemish: bool,
    /// The last error of the target as a whole.
    pub last_error: Option<String>,
    /// Grows with every change.
    pub version: i64,
    /// What differs from the place that it is bound to; while anything does, it is held.
    pub held_parts: Vec<Part>,
    /// Which database this was read from, and since when its server runs.
    pub database: String,
}

impl TargetState {
    /// Whether deliveries may be consumed and published now.
    #[must_use]
    pub const fn is_open_for_business(&self) -> bool {
        self.held_parts.is_empty()
            && !self.paused
            && !self.disabled
            && self.throttled_until.is_none()
            && matches!(self.breaker, BreakerState::Closed)
    }
}

/// The state as the breaker's rule sees it, with what a change of it compares.
#[derive(Debug, Clone, PartialEq)]
pub struct Standings {
    /// The target.
    pub target: Target,
    /// What the rule sees.
    pub standing: Standing,
    /// The version that was read.
    pub version: i64,
    /// The database's clock when it was read.
    pub now: Timestamp,
}

/// The state just before something is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The database's clock, which leases and due times are measured by.
    pub now: Timestamp,
    /// The version that was read.
    pub version: i64,
    /// Requests may go out.
    pub is_open: bool,
    /// Pushes are a trial: their failures are the target's, not the entity's.
    pub on_trial: bool,
}

/// Who changes a state, and what stands in the audit trail for it.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// Who.
    pub by: &'a str,
    /// What follows from it.
    pub effects: &'a [Effect],
}

/// Hears at once when the state of any target changes.
pub struct TargetListener {
    changed: Arc<Notify>,
    driver: JoinHandle<()>,
    /// Kept: without it the connection ends.
    client: Arc<tokio_postgres::Client>,
}

impl Drop for TargetListener {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Says a thing to all processes that listen, on a connection that is open already.
#[derive(Clone)]
pub struct TargetVoice(Arc<tokio_postgres::Client>);

impl TargetVoice {
    /// Leave the target alone for a moment: what it said to us is about to be written down.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be said; what is written down is heard all the same.
    pub async fn hush(&self, target: Target) -> Result<(), StoreError> {
        let word = format!("notify ems_sync_target, '{target} {HUSH}'");
        Ok(self.0.batch_execute(&word).await?)
    }
}

impl TargetListener {
    /// A voice on its connection.
    #[must_use]
    pub fn voice(&self) -> TargetVoice {
        TargetVoice(Arc::clone(&self.client))
    }

    /// Waits for the next change.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The connection is gone.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.driver.is_finished()
    }
}

impl Store {
    /// The shared state of every target.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn target_states(&self) -> Result<Vec<TargetState>, StoreError> {
        self.target_rows().await?.iter().map(state).collect()
    }

    /// The state of one target, to be changed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn standing(&self, target: Target) -> Result<Standings, StoreError> {
        for row in &self.target_rows().await? {
            if target_of(row)? == target {
                return standings(row);
            }
        }
        Err(StoreError::Unexpected("sync.target has no row for a target"))
    }

    async fn target_rows(&self) -> Result<Vec<Row>, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/targets.sql")).await?;
        client.query(&query, &[&limits::SLOW_START.as_secs_f64()]).await
    }

    /// The database's clock, and whether requests may go to the target: for between a claim and its pushes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn moment(&self, target: Target) -> Result<Moment, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/target_moment.sql")).await?;
        let row = client.query_one(&query, &[&target.name()]).await?;
        Ok(Moment {
            now: row.try_get("now")?,
            version: row.try_get("version")?,
            is_open: row.try_get("is_open")?,
            on_trial: row.try_get("on_trial")?,
        })
    }

    /// Changes what was read to `after`, with its events, unless somebody was quicker. The new version.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn change_target(
        &self,
        before: &Standings,
        after: &Standing,
        change: Change<'_>,
    ) -> Result<Option<i64>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/target_change.sql")).await?;
        let (window, streak) = (&after.window, texts(&after.streak));
        let names: Vec<&str> = change.effects.iter().map(Effect::name).collect();
        let reasons: Vec<Option<String>> = change.effects.iter().map(Effect::reason).collect();
        let changed = client
            .query_opt(
                &query,
                &[
                    &before.target.name(),
                    &before.version,
                    &after.paused,
                    &after.disabled,
                    &after.disabled_reason,
                    &after.breaker.name(),
                    &after.until,
                    &integer(after.pauses),
                    &after.opened_on,
                    &after.closed_on,
                    &after.on_trial,
                    &after.failing_since,
                    &after.failed_on,
                    &streak,
                    &window.since,
                    &integer(window.served),
                    &integer(window.failed),
                    &texts(&window.entities),
                    &after.throttled_until,
                    &after.learnt_pause.as_secs_f64(),
                    &after.last_error,
                    &change.by,
                    &names,
                    &reasons,
                ],
            )
            .await?;
        Ok(changed.map(|row| row.try_get("version")).transpose()?)
    }

    /// Asks all processes to publish nothing to the target's queues for a moment, since a consumer leaves.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be said; then a message may be delivered again.
    pub async fn say_leaving(&self, target: Target) -> Result<(), StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/say_leaving.sql")).await?;
        client.query(&query, &[&target.name()]).await?;
        Ok(())
    }

    /// Listens, on a connection of its own, for changes of any target's state; `hears` is called at once with what is said
    /// of a target. Behind a pooler in transaction mode nothing is heard: whoever uses it
    /// looks by himself too.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn listen_to_targets(
        &self,
        hears: impl Fn(Target, Heard) + Send + 'static,
    ) -> Result<TargetListener, StoreError> {
        let (client, mut connection) =
            self.connector.config.connect(self.connector.tls.clone()).await?;
        let changed = Arc::new(Notify::new());
        let heard = Arc::clone(&changed);
        let driver = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notification(notification) = message {
                    let said = heard_in(notification.payload());
                    if let Some((target, said)) = said {
                        hears(target, said);
                    }
                    // What is only said is not written yet: there is nothing new to read.
                    if !matches!(said, Some((_, Heard::Hush | Heard::Leaving))) {
                        heard.notify_one();
                    }
                }
            }
            heard.notify_one();
        });
        let listener = TargetListener { changed, driver, client: Arc::new(client) };
        listener.client.batch_execute("listen ems_sync_target").await?;
        Ok(listener)
    }
}

/// What a notification says of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It has closed, with this version of its state.
    Closed(i64),
    /// A process was told to leave it alone, and is about to write that down.
    Hush,
    /// A consumer of it leaves.
    Leaving,
}

/// Said by [`TargetVoice::hush`].
const HUSH: &str = "hush";
/// Said by `sql/queries/say_leaving.sql`.
const LEAVING: &str = "leaving";

fn heard_in(payload: &str) -> Option<(Target, Heard)> {
    let mut words = payload.split(' ');
    let target = words.next()?.parse().ok()?;
    let version = match words.next()? {
        HUSH => return Some((target, Heard::Hush)),
        LEAVING => return Some((target, Heard::Leaving)),
        version => version.parse().ok()?,
    };
    (words.next()? == "closed").then_some((target, Heard::Closed(version)))
}

fn target_of(row: &Row) -> Result<Target, StoreError> {
    let target: &str = row.try_get("target")?;
    target.parse().map_err(|_| StoreError::Unexpected("sync.target has a target that is not known"))
}

fn standings(row: &Row) -> Result<Standings, StoreError> {
    let breaker: &str = row.try_get("breaker")?;
    let standing = Standing {
        held: row.try_get("held")?,
        paused: row.try_get("paused")?,
        disabled: row.try_get("disabled")?,
        disabled_reason: row.try_get("disabled_reason")?,
        breaker: BreakerState::ALL
            .into_iter()
            .find(|state| state.name() == breaker)
            .ok_or(StoreError::Unexpected("sync.target has an odd breaker"))?,
        until: row.try_get("breaker_until")?,
        pauses: count(row.try_get("breaker_failures")?),
        opened_on: row.try_get("breaker_opened_on")?,
        closed_on: row.try_get("closed_on")?,
        on_trial: row.try_get("on_trial")?,
        failing_since: row.try_get("failing_since")?,
        failed_on: row.try_get("failed_on")?,
        streak: entities(row.try_get("streak")?),
        window: Window {
            since: row.try_get("window_since")?,
            served: count(row.try_get("window_served")?),
            failed: count(row.try_get("window_failed")?),
            entities: entities(row.try_get("window_entities")?),
        },
        throttled_until: row.try_get("throttled_until")?,
        learnt_pause: seconds(row.try_get("learnt_pause")?),
        last_error: row.try_get("last_error")?,
    };
    Ok(Standings {
        target: target_of(row)?,
        standing,
        version: row.try_get("version")?,
        now: row.try_get("now")?,
    })
}

fn state(row: &Row) -> Result<TargetState, StoreError> {
    let Standings { target, standing, version, now } = standings(row)?;
    let open_for: Option<f64> = row.try_get("open_for")?;
    let held: Vec<&str> = row.try_get("held_parts")?;
    let held_parts = held.into_iter().map(|name| {
        Part::from_name(name)
            .ok_or(StoreError::Unexpected("sync.binding has a part that is not known"))
    });
    Ok(TargetState {
        target,
        paused: standing.paused,
        disabled: standing.disabled,
        breaker: standing.breaker,
        breaker_is_due: rule::probe_is_due(&standing, now),
        breaker_failures: integer(standing.pauses),
        throttled_until: standing.throttled_until.filter(|until| *until > now),
        breaker_until: standing.until.filter(|_| standing.breaker != BreakerState::Closed),
        closed_on: standing.closed_on,
        on_trial: standing.on_trial,
        has_blemish: rule::has_blemish(&standing),
        open_for: open_for.map(seconds),
        disabled_reason: standing.disabled_reason,
        last_error: standing.last_error,
        version,
        held_parts: held_parts.collect::<Result<_, _>>()?,
        database: row.try_get("database")?,
    })
}

fn texts(entities: &[EntityRef]) -> Vec<String> {
    entities.iter().map(EntityRef::to_string).collect()
}

/// What can't be read is left out: it is evidence, not state.
fn entities(texts: Vec<String>) -> Vec<EntityRef> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

fn integer(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn count(n: i32) -> u32 {
    u32::try_from(n).unwrap_or(0)
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_notification_that_says_closed_closes_anything() {
        let said = |text| heard_in(text);
        assert_eq!(said("tagserver 7 closed"), Some((Target::TagServer, Heard::Closed(7))));
        assert_eq!(said("chatwoot hush"), Some((Target::Chatwoot, Heard::Hush)));
        assert_eq!(said("mautic leaving"), Some((Target::Mautic, Heard::Leaving)));
        for other in ["tagserver 7 open", "tagserver closed", "nobody 7 closed", "", "tagserver 7"]
        {
            assert_eq!(said(other), None, "{other}");
        }
    }
}
