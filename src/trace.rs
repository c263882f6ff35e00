//! Traces: one from the EMS's transaction (`ems.traceparent`) through relay, message and consumer to the answer of the remote.
//! The only module that names the tracing API of OpenTelemetry.
//!
//! Spans are made and sent only where an OTLP endpoint is configured ([`start`]); otherwise a `traceparent` is passed on as it is.
//! A span names entities by type and id, never a value, a URL or a text of a remote: paths may hold hashes of addresses.
//! Nothing of a trace is sent to the remotes.
//!
//! Names of spans and attributes: OpenTelemetry's semantic conventions for messaging and HTTP.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{
    Span as _, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _,
    TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span as SdkSpan};

use crate::entity::EntityRef;
use crate::limits;
use crate::target::Target;

/// The header and session variable that carry a place in a trace (W3C Trace Context, section 3.2).
const TRACEPARENT: &str = "traceparent";

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Why traces can't be sent.
#[derive(Debug, thiserror::Error)]
#[error("Traces can't be sent: see the OTEL_EXPORTER_OTLP_… variables")]
pub struct TraceError(#[from] opentelemetry_otlp::ExporterBuildError);

/// Spans that are sent while this lives.
pub struct Exporting(SdkTracerProvider);

impl Exporting {
    /// Sends what is left, for a bounded time.
    pub async fn end(self) {
        let flushed = tokio::task::spawn_blocking(move || {
            self.0.shutdown_with_timeout(limits::TRACES_FLUSHED_WITHIN)
        });
        if !matches!(flushed.await, Ok(Ok(()))) {
            tracing::warn!("The last spans may not have been sent");
        }
    }
}

/// Begins to send spans, once per process, to where OpenTelemetry's own variables say (`OTEL_EXPORTER_OTLP_ENDPOINT`,
/// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `…_HEADERS`, `…_TIMEOUT`; `OTEL_TRACES_SAMPLER`, `OTEL_SERVICE_NAME`,
/// `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_BSP_…`), over HTTP with Protobuf. An endpoint that is away costs spans, nothing else.
///
/// # Errors
/// [`TraceError`] if the variables make no sense.
pub fn start() -> Result<Exporting, TraceError> {
    let exporter = SpanExporter::builder().with_http().build()?;
    // With what the variables say, if they say it.
    let said = Resource::builder().build().get(&"service.name".into());
    let is_named = said.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder().with_attribute(version);
    let resource = if is_named { resource } else { resource.with_service_name("ems-sync") }.build();
    let provider =
        SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build();
    TRACER.set(provider.tracer("ems-sync")).ok();
    Ok(Exporting(provider))
}

/// A place in a trace, below which a span begins. The default is none.
#[derive(Debug, Clone, Default)]
pub struct Trace(Option<Arc<SpanContext>>);

impl Trace {
    /// Reads a `traceparent`. What is none, which a transaction may set to anything, is no place.
    #[must_use]
    pub fn read(traceparent: Option<&str>) -> Self {
        let carried = traceparent.map(|text| (TRACEPARENT.to_owned(), text.to_owned()));
        let carrier: HashMap<String, String> = carried.into_iter().collect();
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
        let place = context.span().span_context().clone();
        Self(place.is_valid().then(|| Arc::new(place)))
    }

    /// As a `traceparent`.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        let place = self.0.as_ref()?;
        let flags = place.trace_flags().to_u8();
        Some(format!("00-{}-{}-{flags:02x}", place.trace_id(), place.span_id()))
    }

    fn is_of_the_trace_of(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(place), Some(other)) => place.trace_id() == other.trace_id(),
            (Some(_), None) => true,
            (None, _) => false,
        }
    }
}

/// Of what a message carries and what its record does, the place below which its work stands: the message's, which is that of
/// whoever published it, unless the record tells of a later change of another trace.
#[must_use]
pub fn nearest(message: Option<&str>, record: Option<&str>) -> Option<String> {
    let nearer = Trace::read(message).is_of_the_trace_of(&Trace::read(record));
    if nearer { message } else { record }.map(str::to_owned)
}

/// Something that is under way; it ends when this is dropped. Without an endpoint it is only the place where it would be.
#[derive(Debug, Default)]
pub struct Span {
    span: Option<SdkSpan>,
    place: Trace,
}

impl Span {
    fn begin(
        name: String,
        kind: SpanKind,
        above: Trace,
        attributes: impl FnOnce() -> Vec<KeyValue>,
    ) -> Self {
        let Some(tracer) = TRACER.get() else { return Self { span: None, place: above } };
        let context = match above.0 {
            Some(place) => Context::new().with_remote_span_context(SpanContext::clone(&place)),
            None => Context::new(),
        };
        let builder = tracer.span_builder(name).with_kind(kind).with_attributes(attributes());
        let span = tracer.build_with_context(builder, &context);
        let place = Trace(Some(Arc::new(span.span_context().clone())));
        Self { span: Some(span), place }
    }

    /// A delivery is published; only of a change whose transaction is traced.
    #[must_use]
    pub fn publish(target: Target, entity: EntityRef, traceparent: Option<&str>) -> Self {
        let above = Trace::read(traceparent);
        if above.0.is_none() {
            return Self::default();
        }
        Self::begin(format!("publish {target}.outbound"), SpanKind::Producer, above, || {
            messaging("send", target, entity)
        })
    }

    /// An entity is brought up to date, from its claim to its ack.
    #[must_use]
    pub fn process(target: Target, entity: EntityRef, traceparent: Option<&str>) -> Self {
        let above = Trace::read(traceparent);
        Self::begin(format!("process {target}.outbound"), SpanKind::Consumer, above, || {
            messaging("process", target, entity)
        })
    }

    /// A request is sent for what is under way there; of nothing that is traced, none.
    #[must_use]
    pub fn request(above: &Trace, method: &'static str, host: &str) -> Self {
        if above.0.is_none() {
            return Self::default();
        }
        Self::begin(method.to_owned(), SpanKind::Client, above.clone(), || {
            vec![
                KeyValue::new("http.request.method", method),
                KeyValue::new("server.address", host.to_owned()),
            ]
        })
    }

    /// Where what is caused by it stands.
    #[must_use]
    pub fn place(&self) -> Trace {
        self.place.clone()
    }

    /// What was decided and came of it; `failure`: the class, where it failed.
    pub fn settled(
        &mut self,
        decision: &'static str,
        outcome: &'static str,
        failure: Option<&'static str>,
    ) {
        let Some(span) = &mut self.span else { return };
        span.set_attribute(KeyValue::new("delivery.decision", decision));
        span.set_attribute(KeyValue::new("delivery.outcome", outcome));
        if let Some(class) = failure {
            failed(span, class);
        }
    }

    /// The status of the answer.
    pub fn answered(&mut self, status: u16) {
        let Some(span) = &mut self.span else { return };
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        if status >= 400 {
            failed(span, "http");
        }
    }

    /// There was no answer, or none that could be read; `class`: what that means.
    pub fn unanswered(&mut self, class: &'static str) {
        if let Some(span) = &mut self.span {
            failed(span, class);
        }
    }
}

/// The text of a failure stands in the record, where people look for it: a trace says its class only.
fn failed(span: &mut SdkSpan, class: &'static str) {
    span.set_attribute(KeyValue::new("error.type", class));
    span.set_status(Status::error(class));
}

fn messaging(operation: &'static str, target: Target, entity: EntityRef) -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", "rabbitmq"),
        KeyValue::new("messaging.operation.type", operation),
        KeyValue::new("target.name", target.name()),
        KeyValue::new("entity.type", entity.entity_type.name()),
        KeyValue::new("entity.id", entity.id),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const RELAY: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
    const OTHER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    #[test]
    fn what_is_no_traceparent_is_no_place() {
        for text in [
            "",
            "canary@example.org",
            "00-0-0-01",
            &EMS[..50],
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        ] {
            assert!(Trace::read(Some(text)).traceparent().is_none(), "{text}");
        }
        for text in [EMS, OTHER] {
            assert_eq!(Trace::read(Some(text)).traceparent().as_deref(), Some(text));
        }
    }

    #[test]
    fn a_later_change_of_another_trace_counts_more_than_the_message() {
        let cases = [
            (None, None, None),
            (Some(RELAY), None, Some(RELAY)),
            (None, Some(EMS), Some(EMS)),
            (Some(RELAY), Some(EMS), Some(RELAY)),
            (Some(RELAY), Some(OTHER), Some(OTHER)),
            (Some("garbage"), Some(EMS), Some(EMS)),
        ];
        for (message, record, nearer) in cases {
            assert_eq!(nearest(message, record).as_deref(), nearer, "{message:?} {record:?}");
        }
    }

    #[test]
    fn without_an_endpoint_a_span_is_only_a_place() {
        let person = EntityRef::new(crate::entity::EntityType::Person, 7);
        let span = Span::process(Target::Mautic, person, Some(EMS));
        assert_eq!(span.place().traceparent().as_deref(), Some(EMS));
        let request = Span::request(&span.place(), "PUT", "there");
        assert_eq!(request.place().traceparent().as_deref(), Some(EMS));
    }
}
