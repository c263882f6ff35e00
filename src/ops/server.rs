//! The operations endpoints: `/livez`, `/readyz`, `/metrics`, the API behind a token,
//! and `POST /hooks/chatwoot`; and the console (`src/ops/console.rs`).
//!
//! Every answer carries headers that keep it out of caches, frames and script engines; a request has a bounded body,
//! a bounded time, and only so many are served at once. Without `ops.token` there are no API and no console: their paths
//! are 404.

mod api;
pub(in crate::ops) mod gate;
mod gauges;
mod hooks;
pub(in crate::ops) mod routes;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use secrecy::SecretString;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::broker::Publisher;
use crate::config::Sweep;
use crate::deliver::breaker::rule::Patience;
use crate::error_chain::chain;
use crate::limits;
use crate::ops::metrics::Metrics;
use crate::ops::progress::Progress;
use crate::ops::status::{self, Reading};
use crate::ops::{console, health};
use crate::store::Store;
use crate::target::Target;
use crate::target_watch::TargetWatch;

use gate::Gate;
pub use gate::Tokens;
use routes::{Access, Actions, Route, Routes};

/// Requests that are served at once.
const REQUESTS_AT_ONCE: usize = 32;
/// Logins that are under way at once.
const LOGINS_AT_ONCE: usize = 4;
/// Longest time of a login.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest time of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest body of a request. None of these endpoints reads one; a web hook's has a bound of its own.
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// What the endpoints tell about.
pub struct OpsContext {
    /// The database.
    pub store: Store,
    /// The broker.
    pub publisher: Arc<Publisher>,
    /// The targets that the configuration enables.
    pub enabled: Vec<Target>,
    /// How often they are swept.
    pub sweep: Sweep,
    /// The shared state of the targets.
    pub watch: TargetWatch,
    /// What this process counts.
    pub metrics: Arc<Metrics>,
    /// The parts of this process.
    pub progress: Progress,
    /// Opens the API and the console; there are none without it.
    pub access: Option<Tokens>,
    /// How long a target may fail, for orders to it.
    pub patience: Patience,
    /// What web hooks may be signed with; none is accepted without one.
    pub hook_secrets: Vec<SecretString>,
}

/// What people look at and act on.
pub(in crate::ops) struct Desk {
    /// The database.
    pub(in crate::ops) store: Store,
    /// The broker.
    pub(in crate::ops) publisher: Arc<Publisher>,
    /// The targets that the configuration enables.
    pub(in crate::ops) enabled: Vec<Target>,
    /// How often they are swept.
    pub(in crate::ops) sweep: Sweep,
    /// How long a target may fail.
    pub(in crate::ops) patience: Patience,
    /// Who is let in; without it nobody is.
    pub(in crate::ops) gate: Option<Arc<Gate>>,
    /// Places for searches and explanations.
    pub(in crate::ops) questions: Semaphore,
}

impl Desk {
    /// A place for a search or an explanation, which looks into the database several times; `None` when it has to come later.
    pub(in crate::ops) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let turn = tokio::time::timeout(limits::QUESTION_WAITS, self.questions.acquire());
        turn.await.ok()?.ok()
    }
}

/// Binds the address.
///
/// # Errors
/// When it is taken, or not ours.
pub async fn bind(listen: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(listen).await
}

/// Serves until `stop`, then lets open requests end for a moment, and actions that are under way for as long as a stop may take.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    context: OpsContext,
    stop: CancellationToken,
) -> std::io::Result<()> {
    tracing::info!(address = %listener.local_addr()?, api = context.access.is_some(), "The operations endpoints listen");
    let (told, actions) = (stop.clone(), Actions::new(context.store.clone()));
    let server = axum::serve(listener, app(Arc::new(context), actions.clone()))
        .with_graceful_shutdown(async move { told.cancelled().await });
    let goodbye = async {
        stop.cancelled().await;
        tokio::time::sleep(limits::OPEN_REQUESTS_END_WITHIN).await;
    };
    let served = tokio::select! {
        result = server => result,
        () = goodbye => Ok(()),
    };
    actions.end(limits::CONSOLE_ACTIONS_END_WITHIN).await;
    served
}

fn app(context: Arc<OpsContext>, actions: Actions) -> Router {
    let desk = Desk {
        store: context.store.clone(),
        publisher: Arc::clone(&context.publisher),
        enabled: context.enabled.clone(),
        sweep: context.sweep,
        patience: context.patience,
        gate: context.access.clone().map(|access| Arc::new(Gate::new(access))),
        questions: Semaphore::new(limits::QUESTIONS_AT_ONCE),
    };
    let told = Routes::new(None, actions.clone()).get(Access::Anyone, "/readyz", readyz).get(
        Access::Anyone,
        "/metrics",
        metrics,
    );
    let hooks = hooks::routes(&context);
    guarded(told.done(context).0.merge(hooks).merge(open(desk, actions).0))
}

/// What needs no more than the database and the broker, and who may use it.
fn open(desk: Desk, actions: Actions) -> (Router, Vec<Route>) {
    let routes = Routes::new(desk.gate.clone(), actions);
    let routes = routes.get(Access::Anyone, "/livez", || async { "alive\n" });
    console::routes(api::routes(routes)).done(Arc::new(desk))
}

/// The bounds and headers that every answer has.
fn guarded(routes: Router) -> Router {
    let slots = Slots { all: slots(REQUESTS_AT_ONCE), logins: slots(LOGINS_AT_ONCE) };
    routes
        .fallback(|| async { not_found() })
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .layer(middleware::from_fn_with_state(slots, bounded))
        .layer(middleware::map_response(with_headers))
}

/// Places for requests.
#[derive(Clone)]
struct Slots {
    all: Arc<Semaphore>,
    /// Whoever logs in has shown no token yet, and sends a body as slowly as they like: they keep nobody else out.
    logins: Arc<Semaphore>,
}

fn slots(at_once: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(at_once))
}

async fn bounded(State(slots): State<Slots>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    // Whether the process lives does not depend on how many ask something else.
    if path == "/livez" {
        return next.run(request).await;
    }
    let is_login = path == "/login";
    let slots = if is_login { slots.logins } else { slots.all };
    let Ok(_slot) = slots.try_acquire() else {
        return later(failure(StatusCode::SERVICE_UNAVAILABLE, "too many requests at once"));
    };
    let within = if is_login { LOGIN_TIMEOUT } else { REQUEST_TIMEOUT };
    match tokio::time::timeout(within, next.run(request)).await {
        Ok(response) => response,
        Err(_) => failure(StatusCode::SERVICE_UNAVAILABLE, "no answer in time"),
    }
}

async fn with_headers(mut response: Response) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    for (name, value) in headers {
        // Pages of the console say for themselves what they may load.
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

async fn readyz(State(context): State<Arc<OpsContext>>) -> Response {
    let OpsContext { store, publisher, progress, watch, enabled, .. } = &*context;
    let readiness = health::check(store, publisher, progress, watch, enabled).await;
    let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(readiness)).into_response()
}

async fn metrics(State(context): State<Arc<OpsContext>>) -> Response {
    let OpsContext { store, publisher, metrics, enabled, sweep, progress, .. } = &*context;
    let reading = tokio::time::timeout(health::PATIENCE, Reading::of(store));
    let (reading, lengths, taken) = tokio::join!(
        reading,
        status::lengths(publisher, health::PATIENCE),
        health::takes_messages(publisher)
    );
    gauges::tell_of_this_process(metrics, progress);
    metrics.reachable("database", matches!(reading, Ok(Ok(_))));
    metrics.reachable("broker", lengths.is_some() && taken.is_ok());
    match reading {
        Ok(Ok(reading)) => {
            gauges::refresh(metrics, &reading, lengths.as_ref(), enabled, *sweep);
        }
        Ok(Err(error)) => tracing::warn!(error = chain(&error), "The gauges are not fresh"),
        Err(_) => tracing::warn!("The gauges are not fresh: the database did not answer in time"),
    }
    match metrics.text() {
        Ok(text) => {
            ([(header::CONTENT_TYPE, crate::ops::metrics::TEXT_FORMAT)], text).into_response()
        }
        Err(error) => {
            tracing::error!(error = chain(&error), "The metrics can't be written");
            failure(StatusCode::INTERNAL_SERVER_ERROR, "the metrics can't be written")
        }
    }
}

fn not_found() -> Response {
    failure(StatusCode::NOT_FOUND, "there is nothing here")
}

/// The answer to who is to come later.
pub(in crate::ops) fn later(mut response: Response) -> Response {
    let seconds = HeaderValue::from(limits::COME_LATER.as_secs());
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
    response
}

fn failure(code: StatusCode, text: &'static str) -> Response {
    (code, Json(json!({ "error": text }))).into_response()
}

#[cfg(test)]
mod tests;
