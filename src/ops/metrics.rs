//! Metrics in the Prometheus format. Labels are names of closed sets, never ids or texts.

use std::time::Duration;

use jiff::Timestamp;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, MeterProvider as _};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};

use crate::entity::EntityType;
use crate::remote::FailureClass;
use crate::remote::inbound::Stream;
use crate::target::Target;

/// The content type of [`Metrics::text`].
pub const TEXT_FORMAT: &str = prometheus::TEXT_FORMAT;

/// Buckets for times from a millisecond to an hour, in seconds.
const SECONDS: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0,
    3600.0,
];

/// Metrics could not be set up or written.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The exporter can't be built.
    #[error("The metrics exporter can't be built")]
    Exporter(#[source] opentelemetry_sdk::error::OTelSdkError),
    /// The metrics can't be written as text.
    #[error("The metrics can't be written")]
    Encode(#[source] prometheus::Error),
}

/// Everything that this process counts.
pub struct Metrics {
    registry: Registry,
    /// Kept: its drop ends the meters.
    _provider: SdkMeterProvider,
    relayed: Counter<u64>,
    republished: Counter<u64>,
    deliveries: Counter<u64>,
    failures: Counter<u64>,
    push_seconds: Histogram<f64>,
    freshness_seconds: Histogram<f64>,
    sweep_found: Counter<u64>,
    pulled: Counter<u64>,
    hooks: Counter<u64>,
    inbound: Counter<u64>,
    conflicts: Counter<u64>,
    gauges: Gauges,
}

/// What is as it is at a scrape.
struct Gauges {
    outbox_rows: Gauge<u64>,
    outbox_oldest_seconds: Gauge<f64>,
    queue_messages: Gauge<u64>,
    oldest_unsynced_seconds: Gauge<f64>,
    breaker_state: Gauge<u64>,
    throttled: Gauge<u64>,
    dead_letters: Gauge<u64>,
    target_held: Gauge<u64>,
    records: Gauge<u64>,
    owed_records: Gauge<u64>,
    obstacle: Gauge<u64>,
    needs_person: Gauge<u64>,
    inbox_rows: Gauge<u64>,
    open_conflicts: Gauge<u64>,
    sweep_finished: Gauge<f64>,
    capture_problems: Gauge<u64>,
    reachable: Gauge<u64>,
    part_silence_seconds: Gauge<f64>,
}

impl Metrics {
    /// Metrics of this process.
    ///
    /// # Errors
    /// [`MetricsError`] when the exporter can't be built.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .with_namespace("ems_sync")
            .scope_info_enabled(false)
            .without_target_info()
            .build()
            .map_err(MetricsError::Exporter)?;
        let provider = SdkMeterProvider::builder().with_reader(exporter).build();
        let meter = provider.meter("ems-sync");
        let counter = |name: &'static str, text: &'static str| {
            meter.u64_counter(name).with_description(text).build()
        };
        let seconds = |name: &'static str, text: &'static str| {
            let histogram = meter.f64_histogram(name).with_unit("s").with_description(text);
            histogram.with_boundaries(SECONDS.to_vec()).build()
        };
        Ok(Self {
            relayed: counter("relayed", "Outbox rows that were taken and owed"),
            republished: counter(
                "republished",
                "Deliveries that the republish scan published again",
            ),
            deliveries: counter("deliveries", "Turns of entities, by decision and outcome"),
            failures: counter("failures", "Attempts that failed, by class"),
            push_seconds: seconds("push", "Time of the pushes of one batch"),
            freshness_seconds: seconds(
                "freshness",
                "From the EMS commit to the remote's acknowledgement",
            ),
            sweep_found: counter(
                "sweep_found",
                "What the outbound sweep found and events had missed",
            ),
            pulled: counter(
                "pulled",
                "Records that a remote showed in walks; taken: those that are to be decided about",
            ),
            hooks: counter(
                "hooks",
                "Web hooks that came: heeded, ignored, repeated, or refused for their signature",
            ),
            inbound: counter("inbound", "Decisions about what people changed at a remote"),
            conflicts: counter(
                "conflicts",
                "Changes at a remote that lost, or that a person must decide about",
            ),
            gauges: Gauges::new(&meter),
            registry,
            _provider: provider,
        })
    }

    /// The metrics as text.
    ///
    /// # Errors
    /// [`MetricsError`].
    pub fn text(&self) -> Result<String, MetricsError> {
        let mut text = String::new();
        TextEncoder::new()
            .encode_utf8(&self.registry.gather(), &mut text)
            .map_err(MetricsError::Encode)?;
        Ok(text)
    }

    pub(crate) fn relayed(&self, rows: usize) {
        self.relayed.add(count(rows), &[]);
    }

    pub(crate) fn republished(&self, target: Target, messages: usize) {
        self.republished.add(count(messages), &[of(target)]);
    }

    pub(crate) fn delivered(
        &self,
        target: Target,
        entity_type: EntityType,
        decision: &'static str,
        outcome: &'static str,
    ) {
        let labels = [
            of(target),
            KeyValue::new("entity", entity_type.name()),
            KeyValue::new("decision", decision),
            KeyValue::new("outcome", outcome),
        ];
        self.deliveries.add(1, &labels);
    }

    pub(crate) fn failed(&self, target: Target, class: FailureClass) {
        self.failures.add(1, &[of(target), KeyValue::new("class", class.name())]);
    }

    pub(crate) fn pushed(&self, target: Target, took: Duration) {
        self.push_seconds.record(took.as_secs_f64(), &[of(target)]);
    }

    pub(crate) fn fresh(&self, target: Target, after: Duration) {
        self.freshness_seconds.record(after.as_secs_f64(), &[of(target)]);
    }

    pub(crate) fn sweep_found(&self, target: Target, leg: &'static str, found: usize) {
        self.sweep_found.add(count(found), &[of(target), KeyValue::new("leg", leg)]);
    }

    /// A page of a walk: how many records and consents it showed, and how many of them are to be decided about or changed the EMS.
    pub(crate) fn pulled(&self, target: Target, stream: Stream, seen: u64, taken: u64) {
        for (outcome, n) in [("seen", seen.saturating_sub(taken)), ("taken", taken)] {
            let stream = KeyValue::new("stream", stream.name());
            self.pulled.add(n, &[of(target), stream, KeyValue::new("outcome", outcome)]);
        }
    }

    pub(crate) fn hook(&self, outcome: &'static str) {
        self.hooks.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    pub(crate) fn decided(
        &self,
        target: Target,
        entity_type: EntityType,
        decision: &'static str,
        outcome: &'static str,
    ) {
        let labels = [
            of(target),
            KeyValue::new("entity", entity_type.name()),
            KeyValue::new("decision", decision),
            KeyValue::new("outcome", outcome),
        ];
        self.inbound.add(1, &labels);
    }

    pub(crate) fn conflicted(&self, target: Target, reason: &'static str) {
        self.conflicts.add(1, &[of(target), KeyValue::new("reason", reason)]);
    }

    /// What waits in the outbox.
    pub(crate) fn outbox(&self, rows: u64, oldest_seconds: f64) {
        self.gauges.outbox_rows.record(rows, &[]);
        self.gauges.outbox_oldest_seconds.record(oldest_seconds, &[]);
    }

    pub(crate) fn queue(&self, target: Target, queue: &'static str, messages: u64) {
        self.gauges.queue_messages.record(messages, &[of(target), KeyValue::new("queue", queue)]);
    }

    pub(crate) fn target(&self, target: Target, breaker: u64, oldest_seconds: f64, dead: u64) {
        self.gauges.breaker_state.record(breaker, &[of(target)]);
        self.gauges.oldest_unsynced_seconds.record(oldest_seconds, &[of(target)]);
        self.gauges.dead_letters.record(dead, &[of(target)]);
    }

    pub(crate) fn throttled(&self, target: Target, is_throttled: bool) {
        self.gauges.throttled.record(u64::from(is_throttled), &[of(target)]);
    }

    /// Whether it is held because it is not where it was bound.
    pub(crate) fn held(&self, target: Target, is_held: bool) {
        self.gauges.target_held.record(u64::from(is_held), &[of(target)]);
    }

    /// Records in a state, and how many of them the target is behind on.
    pub(crate) fn records(&self, target: Target, state: &'static str, records: u64, owed: u64) {
        let labels = [of(target), KeyValue::new("state", state)];
        self.gauges.records.record(records, &labels);
        self.gauges.owed_records.record(owed, &labels);
    }

    /// Whether this keeps the whole target from being pushed to.
    pub(crate) fn obstacle(&self, target: Target, reason: &'static str, stands: bool) {
        let labels = [of(target), KeyValue::new("reason", reason)];
        self.gauges.obstacle.record(u64::from(stands), &labels);
    }

    /// Whether this needs a person.
    pub(crate) fn needs_person(&self, target: Target, reason: &'static str, needs: bool) {
        let labels = [of(target), KeyValue::new("reason", reason)];
        self.gauges.needs_person.record(u64::from(needs), &labels);
    }

    /// Changes at a remote that are in the inbox in a state.
    pub(crate) fn inbox(&self, target: Target, state: &'static str, rows: u64) {
        self.gauges.inbox_rows.record(rows, &[of(target), KeyValue::new("state", state)]);
    }

    pub(crate) fn open_conflicts(&self, target: Target, conflicts: u64) {
        self.gauges.open_conflicts.record(conflicts, &[of(target)]);
    }

    /// When the last sweep of a direction came to its end; `None` if none has.
    pub(crate) fn swept(&self, target: Target, direction: &'static str, on: Option<Timestamp>) {
        let on = on.map_or(0.0, |on| on.as_duration().as_secs_f64());
        self.gauges.sweep_finished.record(on, &[of(target), KeyValue::new("direction", direction)]);
    }

    pub(crate) fn capture_problems(&self, tables: usize) {
        self.gauges.capture_problems.record(count(tables), &[]);
    }

    /// Whether the database or the broker answered in time.
    pub(crate) fn reachable(&self, service: &'static str, answered: bool) {
        self.gauges.reachable.record(u64::from(answered), &[KeyValue::new("service", service)]);
    }

    /// How long a part of this process has shown no progress.
    pub(crate) fn silence(&self, part: String, silence: Duration) {
        self.gauges
            .part_silence_seconds
            .record(silence.as_secs_f64(), &[KeyValue::new("part", part)]);
    }
}

impl Gauges {
    fn new(meter: &Meter) -> Self {
        let gauge = |name: &'static str, text: &'static str| {
            meter.u64_gauge(name).with_description(text).build()
        };
        let age = |name: &'static str, text: &'static str| {
            meter.f64_gauge(name).with_unit("s").with_description(text).build()
        };
        Self {
            outbox_rows: gauge("outbox_rows", "Rows that wait in the outbox"),
            outbox_oldest_seconds: age("outbox_oldest", "Age of the oldest row in the outbox"),
            queue_messages: gauge("queue_messages", "Messages that are ready in a queue"),
            oldest_unsynced_seconds: age(
                "oldest_unsynced",
                "Age of the oldest change that is not pushed",
            ),
            breaker_state: gauge("breaker_state", "0 closed, 1 half open, 2 open, 3 disabled"),
            throttled: gauge("throttled", "1 while the target has asked to be left alone, else 0"),
            dead_letters: gauge("dead_letters", "Entities whose last cycle ended in a dead letter"),
            target_held: gauge(
                "target_held",
                "1 while a target is not where it was bound, so that nothing is sent to it",
            ),
            records: gauge("records", "Sync records by state"),
            owed_records: gauge(
                "owed_records",
                "Sync records that the target is behind on, by state",
            ),
            obstacle: gauge(
                "obstacle",
                "1 for what keeps the whole target from being pushed to, else 0",
            ),
            needs_person: gauge("needs_person", "1 for what needs a person at a target, else 0"),
            inbox_rows: gauge("inbox_rows", "Changes at a remote that are not taken in, by state"),
            open_conflicts: gauge("open_conflicts", "Conflicts that nobody has decided about"),
            sweep_finished: age(
                "sweep_finished_timestamp",
                "When the last sweep came to its end, since the epoch; 0 if none has",
            ),
            capture_problems: gauge(
                "capture_problems",
                "Watched tables whose changes are not all captured",
            ),
            reachable: gauge(
                "reachable",
                "1 if the database or the broker answered this scrape in time, else 0",
            ),
            part_silence_seconds: age(
                "part_silence",
                "Since when a part of this process has shown no progress",
            ),
        }
    }
}

fn of(target: Target) -> KeyValue {
    KeyValue::new("target", target.name())
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
