//! One request on its way: arrive, wait, fail or be applied, be answered or not.
//!
//! The work runs in a task of its own: a client that gives up does not stop the server, so a
//! delayed write still lands, perhaps after a newer one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::{Bytes, Incoming};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::ResponseBody;
use crate::connection::Ending;
use crate::faults::Plan;
use crate::ledger::{Ledger, Ticket};
use crate::listening::{Door, Listening};
use crate::sync::lock;
use crate::{
    Admission, Fault, Faults, Garbage, Offline, Record, Remote, Request, Response, Subject,
    Upheaval,
};

/// A page as a captive portal or a proxy gives it.
const HTML: &str = "<!DOCTYPE html><html><head><title>Welcome</title></head>\
    <body><h1>Please sign in to the network</h1></body></html>";

/// What all parts of one simulator share.
pub(crate) struct Core {
    pub(crate) remote: Arc<dyn Remote>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) faults: Faults,
    pub(crate) latency_us: AtomicU64,
    pub(crate) max_body_bytes: usize,
    pub(crate) listening: Listening,
    pub(crate) run: std::sync::Mutex<Run>,
}

/// What lives from a start to a shutdown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// The connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("The connection is closed without an answer")]
pub(crate) struct Closed;

/// Keeps a request's writes in flight until it is dropped.
pub(crate) struct InFlightGuard {
    ledger: Arc<Ledger>,
    ticket: Ticket,
    /// What the remote gave at the door.
    _pass: Option<Box<dyn Send + Sync>>,
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.ledger.release(&self.ticket);
    }
}

/// The client of a request; dropped before the answer, it has given up.
struct Client {
    ledger: Arc<Ledger>,
    ticket: Ticket,
    gave_up: CancellationToken,
    answered: bool,
}

impl Drop for Client {
    fn drop(&mut self) {
        if !self.answered {
            self.ledger.abandon(&self.ticket);
            self.gave_up.cancel();
        }
    }
}

/// How a request ends.
enum Outcome {
    Answer(hyper::Response<ResponseBody>),
    Close,
    Reset,
}

/// Serves one request of a connection.
pub(crate) async fn handle(
    core: Arc<Core>,
    ending: Arc<Ending>,
    incoming: hyper::Request<Incoming>,
) -> Result<hyper::Response<ResponseBody>, Closed> {
    let Ok(mut request) = Request::read(incoming, core.max_body_bytes).await else {
        return Err(Closed);
    };
    let subject = core.remote.subject(&request);
    let mut record = Record::default();
    let pass = match core.remote.admit(&request, &mut record) {
        Admission::Admitted(pass) => pass,
        Admission::Refused(response) => {
            let ticket = core.ledger.begin(&request, &subject, &[]);
            core.ledger.applied(&ticket, &subject, record);
            core.ledger.end(&ticket, &subject, Some(response.status.as_u16()));
            core.ledger.release(&ticket);
            return Ok(response.into_http(core.remote.now(), ResponseBody::Whole));
        }
    };
    let plan = core.faults.plan(&request, &subject);
    let ticket = core.ledger.begin(&request, &subject, &plan.names);
    request.concurrency = ticket.concurrency;
    let gave_up = CancellationToken::new();
    let mut client = Client {
        ledger: Arc::clone(&core.ledger),
        ticket: ticket.clone(),
        gave_up: gave_up.clone(),
        answered: false,
    };
    let run = lock(&core.run).clone();
    let tasks = run.tasks.clone();
    let in_flight = InFlightGuard { ledger: Arc::clone(&core.ledger), ticket, _pass: pass };
    let work = Work { core, run, request, subject, in_flight, gave_up };
    let outcome = tasks.spawn(work.perform(plan)).await;
    client.answered = true;
    match outcome {
        Ok(Outcome::Answer(response)) => Ok(response),
        Ok(Outcome::Close) => Err(Closed),
        Ok(Outcome::Reset) | Err(_) => {
            ending.reset();
            Err(Closed)
        }
    }
}

/// A request being worked on.
struct Work {
    core: Arc<Core>,
    run: Run,
    request: Request,
    subject: Subject,
    in_flight: InFlightGuard,
    gave_up: CancellationToken,
}

impl Work {
    async fn perform(self, plan: Plan) -> Outcome {
        let latency = Duration::from_micros(self.core.latency_us.load(Ordering::Relaxed));
        let wait = latency + plan.delay;
        if !wait.is_zero() {
            tokio::select! {
                () = sleep(wait) => {}
                () = self.run.stop.cancelled() => return self.unanswered(Outcome::Reset),
            }
        }
        match plan.fault {
            None | Some(Fault::Delay { .. }) => self.answer(),
            Some(fault) => self.fail(fault).await,
        }
    }

    async fn fail(self, fault: Fault) -> Outcome {
        match fault {
            Fault::Delay { .. } => self.answer(),
            Fault::Status { code, headers, body, applied } => {
                let response = self.scripted(code, headers, body);
                self.instead(applied, |_| response)
            }
            Fault::Drop => self.unanswered(Outcome::Reset),
            Fault::CommitThenDrop => {
                self.apply();
                self.unanswered(Outcome::Close)
            }
            Fault::Hang { ms } => self.hang(ms).await,
            Fault::CommitThenHang { ms } => {
                self.apply();
                self.hang(ms).await
            }
            Fault::Garbage { what, applied } => self.garble(what, applied),
            Fault::SlowBody { chunk_bytes, pause_ms } => {
                let response = self.apply();
                let pause = Duration::from_millis(pause_ms);
                self.end(response, |body, in_flight| {
                    ResponseBody::slow(body, chunk_bytes, pause, in_flight)
                })
            }
            Fault::RevokeToken => self.answer_after(Upheaval::RevokeToken),
            Fault::NewSecret => self.answer_after(Upheaval::NewSecret),
            Fault::Reimage { how } => self.answer_after(Upheaval::Reimage(how)),
            Fault::Offline { mode, ms } => {
                self.run.tasks.spawn(go_offline(Arc::clone(&self.core), mode, ms));
                self.unanswered(Outcome::Reset)
            }
        }
    }

    /// Applies the request and notes what became of it.
    fn apply(&self) -> Response {
        let mut record = Record::default();
        let response = self.core.remote.answer(&self.request, &self.subject, &mut record);
        self.core.ledger.applied(&self.in_flight.ticket, &self.subject, record);
        response
    }

    fn answer(self) -> Outcome {
        let response = self.apply();
        self.end(response, whole)
    }

    fn answer_after(self, upheaval: Upheaval) -> Outcome {
        self.core.remote.upheave(upheaval, Some(&self.request));
        self.answer()
    }

    /// Answers something else than the remote did, or would have.
    fn instead(self, applied: bool, response: impl FnOnce(&Self) -> Response) -> Outcome {
        if applied {
            self.apply();
        }
        let response = response(&self);
        self.end(response, whole)
    }

    fn garble(self, what: Garbage, applied: bool) -> Outcome {
        let ok = StatusCode::OK;
        match what {
            Garbage::Html => self.instead(applied, |_| Response::text(ok, "text/html", HTML)),
            Garbage::EmptyList => {
                self.instead(applied, |_| Response::text(ok, "application/json", "[]"))
            }
            Garbage::EmptyBody => self.instead(applied, |_| Response::empty(ok)),
            Garbage::StrangersRecord => self.instead(applied, |work| {
                work.core.remote.strangers_record(&work.request, &work.subject)
            }),
            Garbage::TruncatedJson => {
                let mut response = self.likely(applied);
                response.body.truncate(response.body.len() / 2);
                self.end(response, whole)
            }
            Garbage::CutOff => {
                let response = self.likely(applied);
                self.end(response, |body, _| ResponseBody::cut_off(&body))
            }
        }
    }

    /// The right answer with status 200; if nothing is to be applied, one that looks like it.
    fn likely(&self, applied: bool) -> Response {
        let response = if applied {
            self.apply()
        } else {
            self.core.remote.strangers_record(&self.request, &self.subject)
        };
        Response { status: StatusCode::OK, ..response }
    }

    fn scripted(
        &self,
        code: u16,
        headers: Vec<(String, String)>,
        body: Option<serde_json::Value>,
    ) -> Response {
        let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = match body {
            None => self.core.remote.plain_error(status, &self.request),
            Some(serde_json::Value::String(text)) if text.is_empty() => Response::empty(status),
            Some(serde_json::Value::String(text)) => Response::text(status, "text/plain", text),
            Some(body) => Response::json(status, &body),
        };
        response
            .headers
            .retain(|(name, _)| headers.iter().all(|(other, _)| !other.eq_ignore_ascii_case(name)));
        response.headers.extend(headers);
        response
    }

    /// Says nothing until the time is up, the client gives up or the simulator stops.
    async fn hang(self, ms: Option<u64>) -> Outcome {
        let forever = async {
            match ms {
                Some(ms) => sleep(Duration::from_millis(ms)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = forever => {}
            () = self.gave_up.cancelled() => {}
            () = self.run.stop.cancelled() => {}
        }
        self.unanswered(Outcome::Close)
    }

    fn unanswered(self, outcome: Outcome) -> Outcome {
        self.core.ledger.end(&self.in_flight.ticket, &self.subject, None);
        outcome
    }

    fn end(
        self,
        response: Response,
        body: impl FnOnce(Bytes, InFlightGuard) -> ResponseBody,
    ) -> Outcome {
        let Self { core, subject, in_flight, .. } = self;
        core.ledger.end(&in_flight.ticket, &subject, Some(response.status.as_u16()));
        let now = core.remote.now();
        Outcome::Answer(response.into_http(now, |bytes| body(bytes, in_flight)))
    }
}

fn whole(body: Bytes, _in_flight: InFlightGuard) -> ResponseBody {
    ResponseBody::Whole(body)
}

async fn go_offline(core: Arc<Core>, mode: Offline, ms: Option<u64>) {
    let stop = lock(&core.run).stop.clone();
    if stop.is_cancelled() {
        return;
    }
    if let Err(error) = core.listening.turn(&core, Door::Offline(mode)).await {
        tracing::error!(%error, "Going offline failed");
    }
    let Some(ms) = ms else { return };
    tokio::select! {
        () = sleep(Duration::from_millis(ms)) => {}
        () = stop.cancelled() => return,
    }
    if let Err(error) = core.listening.turn(&core, Door::Open).await {
        tracing::error!(%error, "Coming back online failed");
    }
}
