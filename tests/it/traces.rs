//! One trace from the EMS's transaction to the remote's answer, as an OTLP receiver gets it.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;

use crate::support::rig::{PATIENCE, Rig};

/// Keeps what it is sent.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Vec<Vec<u8>>>>);

impl Receiver {
    async fn start() -> (Self, String) {
        let receiver = Self::default();
        let take = |State(receiver): State<Self>, body: Bytes| async move {
            receiver.0.lock().unwrap().push(body.to_vec());
        };
        let router =
            axum::Router::new().route("/v1/traces", post(take)).with_state(receiver.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, url)
    }

    fn spans(&self) -> Vec<Span> {
        let bodies = self.0.lock().unwrap();
        let requests =
            bodies.iter().map(|body| ExportTraceServiceRequest::decode(body.as_slice()).unwrap());
        requests
            .flat_map(|request| request.resource_spans)
            .inspect(|resource| {
                let attributes = &resource.resource.as_ref().unwrap().attributes;
                assert!(attributes.iter().any(|a| a.key == "service.name"
                    && format!("{:?}", a.value).contains("\"ems-sync\"")));
            })
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans)
            .collect()
    }

    fn holds(&self, text: &str) -> bool {
        let bodies = self.0.lock().unwrap();
        bodies.iter().any(|body| body.windows(text.len()).any(|part| part == text.as_bytes()))
    }
}

fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    found.map(|attribute| format!("{:?}", attribute.value)).unwrap_or_default()
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const EMS_SPAN: &str = "b7ad6b7169203331";

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_leads_from_the_transaction_to_the_answer() {
    let (receiver, url) = Receiver::start().await;
    let mut rig = Rig::new().await;
    rig.settings.insert("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), url);
    // Nothing is sent before the end: what arrives was flushed by the stop.
    rig.settings.insert("OTEL_BSP_SCHEDULE_DELAY".to_owned(), "600000".to_owned());
    let mut running = rig.spawn(&["run", "--roles", "relay,consume,sweep"]);
    rig.ems
        .batch_execute(&format!(
            "begin;
             set local ems.traceparent = '00-{TRACE}-{EMS_SPAN}-01';
             insert into ems.person (first_name, last_name, email) values ('Canaryfirst', 'Canarylast', 'canary@ems.example');
             commit;
             insert into ems.person (first_name, last_name, email) values ('Untraced', 'Canarylast', 'untraced@ems.example');"
        ))
        .await
        .unwrap();
    rig.until("select 2 - count(*) from sync.record where remote_id is not null", "pushed").await;
    rig.settled().await;
    let pid = running.id().expect("it runs").to_string();
    let term = tokio::process::Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
    assert!(term.success());
    let ended = tokio::time::timeout(PATIENCE, running.wait()).await.expect("it stops").unwrap();
    assert!(ended.success(), "{ended}");

    let spans = receiver.spans();
    let of_trace: Vec<&Span> = spans.iter().filter(|span| hex(&span.trace_id) == TRACE).collect();
    let find = |id: &[u8]| of_trace.iter().find(|span| span.span_id == id);
    // From its end: what is published twice, as at a start, is published once for nothing.
    let answered = |span: &&&Span| {
        span.kind == SpanKind::Client as i32
            && span.name == "POST"
            && attribute(span, "http.response.status_code").contains("20")
            && attribute(span, "server.address").contains("127.0.0.1")
    };
    let request = of_trace.iter().find(answered).expect("the create is in the trace");
    let process = find(&request.parent_span_id).expect("it was sent for something");
    assert_eq!(process.name, "process tagserver.outbound");
    assert_eq!(process.kind, SpanKind::Consumer as i32);
    assert!(attribute(process, "delivery.decision").contains("create"));
    assert!(attribute(process, "entity.type").contains("person"));
    let publish = find(&process.parent_span_id).expect("it was told of it");
    assert_eq!(publish.name, "publish tagserver.outbound");
    assert_eq!(publish.kind, SpanKind::Producer as i32);
    assert_eq!(hex(&publish.parent_span_id), EMS_SPAN);

    // The other person has a trace of its own, from where it was taken in hand.
    let others: Vec<_> = spans
        .iter()
        .filter(|s| hex(&s.trace_id) != TRACE && s.name.starts_with("process"))
        .collect();
    assert!(!others.is_empty() && others.iter().all(|span| span.parent_span_id.is_empty()));
    for canary in ["Canary", "canary", "untraced@", "/api/", "Bearer"] {
        assert!(!receiver.holds(canary), "{canary} is in what was sent");
    }
}
