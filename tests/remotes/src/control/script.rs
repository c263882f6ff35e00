//! What is to go wrong: fault rules, offline, settings.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Context, Failure};
use crate::listening::Door;
use crate::{Offline, Rule, RuleState, Upheaval};

/// The one setting that every remote has.
const LATENCY: &str = "latency_ms";

pub(super) async fn list(State(context): State<Context>) -> Json<Vec<RuleState>> {
    Json(context.core.faults.rules())
}

/// Takes one rule, or several in an array.
pub(super) async fn push(
    State(context): State<Context>,
    Json(body): Json<Value>,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let unfit = |error: serde_json::Error| Failure::Unfit(error.to_string());
    let mut rules: Vec<Rule> = if body.is_array() {
        serde_json::from_value(body).map_err(unfit)?
    } else {
        vec![serde_json::from_value(body).map_err(unfit)?]
    };
    for rule in &mut rules {
        if let Some(name) = &rule.when.resource {
            let known = context.core.remote.resource_name(name);
            let known = known.ok_or_else(|| Failure::Unfit(format!("No resource {name:?}")))?;
            rule.when.resource = Some(known.to_owned());
        }
    }
    let ids: Vec<u64> = rules.into_iter().map(|rule| context.core.faults.push(rule)).collect();
    Ok((StatusCode::CREATED, Json(json!({ "ids": ids }))))
}

pub(super) async fn clear(State(context): State<Context>) -> StatusCode {
    context.core.faults.clear();
    StatusCode::NO_CONTENT
}

pub(super) async fn remove(
    State(context): State<Context>,
    Path(id): Path<u64>,
) -> Result<StatusCode, Failure> {
    if context.core.faults.remove(id) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Failure::NotFound("No such rule, or it is used up".to_owned()))
    }
}

/// Away or back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Switch {
    offline: bool,
    #[serde(default)]
    mode: Offline,
}

pub(super) async fn offline(
    State(context): State<Context>,
    Json(switch): Json<Switch>,
) -> Result<Json<Value>, Failure> {
    let door = if switch.offline { Door::Offline(switch.mode) } else { Door::Open };
    context.core.listening.turn(&context.core, door).await.map_err(Failure::Broken)?;
    Ok(Json(json!({ "offline": switch.offline })))
}

pub(super) async fn new_secret(State(context): State<Context>) -> Json<Value> {
    context.core.remote.upheave(Upheaval::NewSecret, None);
    Json(json!({}))
}

pub(super) async fn settings(State(context): State<Context>) -> Json<Value> {
    Json(all_settings(&context))
}

pub(super) async fn change_settings(
    State(context): State<Context>,
    Json(mut change): Json<Map<String, Value>>,
) -> Result<Json<Value>, Failure> {
    let latency = change.remove(LATENCY);
    let latency_ms = match &latency {
        None => None,
        Some(value) => Some(value.as_u64().ok_or_else(|| {
            Failure::Unfit(format!("{LATENCY} is a whole number of milliseconds"))
        })?),
    };
    context.core.remote.change_settings(&Value::Object(change))?;
    if let Some(latency_ms) = latency_ms {
        let latency_us = latency_ms.saturating_mul(1000);
        context.core.latency_us.store(latency_us, Ordering::Relaxed);
    }
    Ok(Json(all_settings(&context)))
}

fn all_settings(context: &Context) -> Value {
    let mut settings = context.core.remote.settings();
    let latency_ms = context.core.latency_us.load(Ordering::Relaxed) / 1000;
    if let Some(settings) = settings.as_object_mut() {
        settings.insert(LATENCY.to_owned(), json!(latency_ms));
    }
    settings
}
