//! The operations endpoints: `/livez`, `/readyz`, `/metrics`, the API behind a token,
//! and `POST /hooks/chatwoot`.
//!
//! Every answer carries headers that keep it out of caches, frames and script engines; a request has a bounded body,
//! a bounded time, and only so many are served at once. Without `ops.token` there is no API: its paths are 404.

mod gauges;
mod hooks;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::broker::Publisher;
use crate::entity::EntityRef;
use crate::error_chain::chain;
use crate::limits;
use crate::ops::conflicts;
use crate::ops::explain;
use crate::ops::health;
use crate::ops::metrics::Metrics;
use crate::ops::progress::Progress;
use crate::ops::status::{self, Reading};
use crate::store::{ConflictFilter, Store, StoreError};
use crate::target::Target;
use crate::target_watch::TargetWatch;

/// Requests that are served at once.
const REQUESTS_AT_ONCE: usize = 32;
/// Longest time of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest body of a request. None of these endpoints reads one; a web hook's has a bound of its own.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// Open connections may end their request for this long after the stop.
const GOODBYE: Duration = Duration::from_secs(3);

/// What the endpoints tell about.
pub struct OpsContext {
    /// The database.
    pub store: Store,
    /// The broker.
    pub publisher: Arc<Publisher>,
    /// The targets that the configuration enables.
    pub enabled: Vec<Target>,
    /// The shared state of the targets.
    pub watch: TargetWatch,
    /// What this process counts.
    pub metrics: Arc<Metrics>,
    /// The parts of this process.
    pub progress: Progress,
    /// Opens the API; there is none without it.
    pub token: Option<SecretString>,
    /// What web hooks may be signed with; none is accepted without one.
    pub hook_secrets: Vec<SecretString>,
}

/// Binds the address.
///
/// # Errors
/// When it is taken, or not ours.
pub async fn bind(listen: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(listen).await
}

/// Serves until `stop`, then lets open requests end for a moment.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    context: OpsContext,
    stop: CancellationToken,
) -> std::io::Result<()> {
    tracing::info!(address = %listener.local_addr()?, api = context.token.is_some(), "The operations endpoints listen");
    let told = stop.clone();
    let server = axum::serve(listener, app(Arc::new(context)))
        .with_graceful_shutdown(async move { told.cancelled().await });
    let goodbye = async {
        stop.cancelled().await;
        tokio::time::sleep(GOODBYE).await;
    };
    tokio::select! {
        result = server => result,
        () = goodbye => Ok(()),
    }
}

fn app(context: Arc<OpsContext>) -> Router {
    let api = Api {
        store: context.store.clone(),
        publisher: Arc::clone(&context.publisher),
        enabled: context.enabled.clone(),
        token: context.token.clone(),
    };
    let hooks = hooks::routes(&context);
    let told = Router::new()
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(context);
    guarded(told.merge(open(api)).merge(hooks))
}

/// What needs no more than the database and the broker.
fn open(api: Api) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/api/v1/status", get(api_status))
        .route("/api/v1/conflicts", get(api_conflicts))
        .route("/api/v1/explain/{entity}/{id}", get(api_explain))
        .with_state(Arc::new(api))
}

/// The bounds and headers that every answer has.
fn guarded(routes: Router) -> Router {
    let slots = Arc::new(Semaphore::new(REQUESTS_AT_ONCE));
    routes
        .fallback(|| async { not_found() })
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .layer(middleware::from_fn_with_state(slots, bounded))
        .layer(middleware::map_response(with_headers))
}

async fn bounded(State(slots): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(_slot) = slots.try_acquire() else {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "too many requests at once");
    };
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
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
        response.headers_mut().insert(name, HeaderValue::from_static(value));
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
    let OpsContext { store, publisher, metrics, enabled, progress, .. } = &*context;
    let reading = tokio::time::timeout(health::PATIENCE, Reading::of(store));
    let (reading, lengths) = tokio::join!(reading, status::lengths(publisher, health::PATIENCE));
    gauges::tell_of_this_process(metrics, progress);
    metrics.reachable("database", matches!(reading, Ok(Ok(_))));
    metrics.reachable("broker", lengths.is_some());
    match reading {
        Ok(Ok(reading)) => gauges::refresh(metrics, &reading, lengths.as_ref(), enabled),
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

/// What the API needs.
struct Api {
    store: Store,
    publisher: Arc<Publisher>,
    enabled: Vec<Target>,
    token: Option<SecretString>,
}

async fn api_status(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    if let Err(refusal) = admit(api.token.as_ref(), &headers) {
        return refusal;
    }
    match status::document(&api.store, &api.publisher, &api.enabled, health::PATIENCE).await {
        Ok(document) => Json(document).into_response(),
        Err(error) => unavailable(&error),
    }
}

/// Those that are open: the document of `conflicts list --json`.
async fn api_conflicts(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    if let Err(refusal) = admit(api.token.as_ref(), &headers) {
        return refusal;
    }
    match api.store.conflicts(ConflictFilter::default(), limits::CONFLICTS_SHOWN).await {
        Ok(rows) => {
            Json(rows.into_iter().map(conflicts::Row::from).collect::<Vec<_>>()).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

async fn api_explain(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    Path((entity_type, id)): Path<(String, String)>,
) -> Response {
    if let Err(refusal) = admit(api.token.as_ref(), &headers) {
        return refusal;
    }
    let (Ok(entity_type), Ok(id)) = (entity_type.parse(), id.parse()) else {
        return failure(StatusCode::BAD_REQUEST, "not an entity type and an id");
    };
    match explain::explain(&api.store, &api.enabled, EntityRef::new(entity_type, id)).await {
        Ok(Some(explanation)) => Json(explanation).into_response(),
        Ok(None) => failure(StatusCode::NOT_FOUND, "there is no such entity"),
        Err(error) => unavailable(&error),
    }
}

fn unavailable(error: &StoreError) -> Response {
    tracing::warn!(error = chain(error), "The API can't read the database");
    failure(StatusCode::SERVICE_UNAVAILABLE, "the database can't be read")
}

fn not_found() -> Response {
    failure(StatusCode::NOT_FOUND, "there is nothing here")
}

fn failure(code: StatusCode, text: &'static str) -> Response {
    (code, Json(json!({ "error": text }))).into_response()
}

/// Lets in whoever has the token. Without a configured token there is nothing to be let into.
#[expect(clippy::result_large_err, reason = "a refusal is the answer itself")]
fn admit(token: Option<&SecretString>, headers: &HeaderMap) -> Result<(), Response> {
    let Some(token) = token else { return Err(not_found()) };
    let given = headers.get(header::AUTHORIZATION).and_then(bearer);
    if given.is_some_and(|given| is_same(given, token.expose_secret())) {
        return Ok(());
    }
    let mut refusal = failure(StatusCode::UNAUTHORIZED, "a bearer token is needed");
    refusal.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    Err(refusal)
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Compares digests, and all bytes of them: the time tells nothing about where the texts differ, or how long they are.
fn is_same(given: &str, expected: &str) -> bool {
    let (given, expected) = (Sha256::digest(given), Sha256::digest(expected));
    given.iter().zip(expected.iter()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests;
