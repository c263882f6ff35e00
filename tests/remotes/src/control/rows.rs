//! The remote's rows, seen and changed behind the worker's back.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Context, Failure};
use crate::{Reimage, Upheaval};

pub(super) async fn list(
    State(context): State<Context>,
    Path(resource): Path<String>,
) -> Result<Json<Vec<Value>>, Failure> {
    Ok(Json(context.core.remote.rows_of(&resource)?))
}

pub(super) async fn read(
    State(context): State<Context>,
    Path((resource, id)): Path<(String, String)>,
) -> Result<Json<Value>, Failure> {
    let is_it = |row: &Value| {
        let found = row.get("id");
        let text = found.and_then(Value::as_str).map(str::to_owned);
        text.or_else(|| Some(found?.as_i64()?.to_string())).is_some_and(|found| found == id)
    };
    let rows = context.core.remote.rows_of(&resource)?;
    let row = rows.into_iter().find(is_it);
    row.map(Json).ok_or_else(|| Failure::NotFound("No such row".to_owned()))
}

pub(super) async fn plant(
    State(context): State<Context>,
    Path(resource): Path<String>,
    Json(row): Json<Value>,
) -> Result<Json<Value>, Failure> {
    Ok(Json(context.core.remote.plant_row(&resource, &row)?))
}

pub(super) async fn remove(
    State(context): State<Context>,
    Path((resource, id)): Path<(String, String)>,
) -> Result<StatusCode, Failure> {
    if context.core.remote.remove_row(&resource, &id)? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Failure::NotFound("No such row".to_owned()))
    }
}

/// Somebody at the remote does something.
pub(super) async fn act(
    State(context): State<Context>,
    Json(act): Json<Value>,
) -> Result<Json<Value>, Failure> {
    Ok(Json(context.core.remote.act(&act)?))
}

pub(super) async fn wipe(State(context): State<Context>) -> Json<Value> {
    context.core.remote.upheave(Upheaval::Wipe, None);
    Json(json!({}))
}

/// How the server comes back.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    how: Reimage,
}

pub(super) async fn reimage(
    State(context): State<Context>,
    wanted: Option<Json<Wanted>>,
) -> Json<Value> {
    let how = wanted.map(|Json(wanted)| wanted.how).unwrap_or_default();
    context.core.remote.upheave(Upheaval::Reimage(how), None);
    Json(json!({}))
}
