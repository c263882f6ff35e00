//! `POST /hooks/chatwoot`: a hint that something has changed there.
//!
//! Answered at once: what a hint leads to is done by the sweep role. The bytes are checked as they came, and nothing of them
//! is kept or logged.

use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::sync::Semaphore;

use super::{OpsContext, failure, not_found};
use crate::error_chain::chain;
use crate::inbound::hook::{self, Signed};
use crate::limits;
use crate::ops::metrics::Metrics;
use crate::store::Store;
use crate::target::Target;

/// What is needed to heed a hint.
struct Hooks {
    store: Store,
    metrics: Arc<Metrics>,
    secrets: Vec<SecretString>,
    /// Bodies are long and come from anybody: they leave room for the other endpoints.
    slots: Semaphore,
}

pub(super) fn routes(context: &OpsContext) -> Router {
    let hooks = Hooks {
        store: context.store.clone(),
        metrics: Arc::clone(&context.metrics),
        secrets: context.hook_secrets.clone(),
        slots: Semaphore::new(limits::HOOKS_AT_ONCE),
    };
    Router::new().route("/hooks/chatwoot", post(chatwoot)).with_state(Arc::new(hooks))
}

async fn chatwoot(State(hooks): State<Arc<Hooks>>, request: Request) -> Response {
    if hooks.secrets.is_empty() {
        return not_found();
    }
    let (parts, body) = request.into_parts();
    let text = |name| header(&parts.headers, name);
    let (Some(timestamp), Some(signature)) =
        (text("x-chatwoot-timestamp"), text("x-chatwoot-signature"))
    else {
        return forged(&hooks);
    };
    let signed = Signed { timestamp, signature };
    // Whoever sends anything else takes no slot, and nothing of the body is read.
    if !signed.may_be_genuine(Timestamp::now()) {
        return forged(&hooks);
    }
    let Ok(_slot) = hooks.slots.try_acquire() else {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "too many web hooks at once");
    };
    let reading = to_bytes(body, limits::HOOK_BYTES_MAX);
    let body = match tokio::time::timeout(limits::HOOK_BODY_WITHIN, reading).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            return failure(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long, or did not come");
        }
        Err(_) => return failure(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"),
    };
    if !hook::is_genuine(&hooks.secrets, signed, &body, Timestamp::now()) {
        return forged(&hooks);
    }
    let hint = match hook::hint(&body) {
        Ok(Some(hint)) => hint,
        Ok(None) => return taken(&hooks, "ignored"),
        Err(_) => return failure(StatusCode::BAD_REQUEST, "this is no event"),
    };
    let delivery = parts.headers.get("x-chatwoot-delivery").map(|value| value.as_bytes());
    let digests = hook::digests(delivery, timestamp, &body);
    match hooks.store.heed_hook(Target::Chatwoot, &digests, &hint).await {
        Ok(true) => taken(&hooks, "heeded"),
        Ok(false) => taken(&hooks, "repeated"),
        Err(error) => {
            tracing::warn!(
                error = chain(&error),
                "A web hook can't be heeded; a walk will find what it meant"
            );
            failure(StatusCode::SERVICE_UNAVAILABLE, "the database can't be written")
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn taken(hooks: &Hooks, outcome: &'static str) -> Response {
    hooks.metrics.hook(outcome);
    (StatusCode::OK, "thank you\n").into_response()
}

fn forged(hooks: &Hooks) -> Response {
    hooks.metrics.hook("refused");
    failure(StatusCode::UNAUTHORIZED, "not signed, or not a moment ago")
}
