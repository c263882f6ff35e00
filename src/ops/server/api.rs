//! `/api/v1/…`: the documents of the command line's `--json`, for programs.

use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::gate::Role;
use super::routes::{Access, Asked, Routes};
use super::{Desk, failure, later};
use crate::entity::{EntityRef, EntityType};
use crate::error_chain::chain;
use crate::limits;
use crate::ops::dead_letters::Reason;
use crate::ops::dead_letters::change::Pages;
use crate::ops::{conflicts, dead_letters, explain, holds, status};
use crate::store::{ConflictFilter, Filter, StoreError};

/// The documents, each with who may read it.
pub(super) fn routes(routes: Routes<Arc<Desk>>) -> Routes<Arc<Desk>> {
    let reader = Access::From(Role::Reader);
    routes
        .get(reader, "/api/v1/status", status)
        .get(reader, "/api/v1/conflicts", open_conflicts)
        .get(reader, "/api/v1/dead-letters", open_dead_letters)
        .get(reader, "/api/v1/holds/{target}", held)
        .get(reader, "/api/v1/explain/{entity}/{id}", explained)
}

async fn status(State(desk): State<Arc<Desk>>) -> Response {
    let Desk { store, publisher, enabled, sweep, .. } = &*desk;
    match status::document(store, publisher, enabled, *sweep, status::PATIENCE).await {
        Ok(document) => Json(document).into_response(),
        Err(error) => unavailable(&error),
    }
}

/// Which conflicts are asked for. What is left out means all.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhichConflicts {
    target: Option<String>,
    entity: Option<String>,
    id: Option<i64>,
}

/// Those that are open: the document of `conflicts list --json`.
async fn open_conflicts(
    State(desk): State<Arc<Desk>>,
    Asked(which): Asked<WhichConflicts>,
) -> Response {
    let WhichConflicts { target, entity, id } = which;
    let (Ok(target), Ok(entity)) = (parsed(target), parsed(entity)) else {
        return failure(StatusCode::BAD_REQUEST, "not a target, or not an entity type");
    };
    let filter = ConflictFilter { target, entity, id, ..ConflictFilter::default() };
    match desk.store.conflicts(filter, limits::CONFLICTS_SHOWN).await {
        Ok(rows) => {
            Json(rows.into_iter().map(conflicts::Row::from).collect::<Vec<_>>()).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

/// Which dead letters are asked for. What is left out means all.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    target: Option<String>,
    entity: Option<String>,
    reason: Option<String>,
    error: Option<String>,
    /// Those with greater numbers.
    after: Option<i64>,
}

/// Those that are open, the oldest first, a page of them: the document of `dead-letters list --json`.
async fn open_dead_letters(State(desk): State<Arc<Desk>>, Asked(which): Asked<Which>) -> Response {
    let Which { target, entity, reason, error, after } = which;
    let (Ok(target), Ok(entity), Ok(reason)) =
        (parsed(target), parsed::<EntityType>(entity), parsed::<Reason>(reason))
    else {
        return failure(StatusCode::BAD_REQUEST, "not a target, an entity type or a reason");
    };
    let reason = reason.map(|reason| reason.name().to_owned());
    let filter = Filter { target, entity, reason, error, ..Filter::default() };
    let mut pages = Pages::new(&desk.store, filter, None).after(after.unwrap_or(0));
    match pages.next(limits::DEAD_LETTERS_IN_DOCUMENT).await {
        Ok(page) => {
            let rows = page.unwrap_or_default().into_iter().map(dead_letters::Row::from);
            Json(rows.collect::<Vec<_>>()).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

fn parsed<T: FromStr>(text: Option<String>) -> Result<Option<T>, T::Err> {
    text.filter(|text| !text.is_empty()).map(|text| text.parse()).transpose()
}

async fn held(State(desk): State<Arc<Desk>>, Path(target): Path<String>) -> Response {
    let Ok(target) = target.parse() else {
        return failure(StatusCode::BAD_REQUEST, "not a target");
    };
    let Some(_turn) = desk.turn().await else { return too_many() };
    match holds::held(&desk.store, target).await {
        Ok(held) => Json(held).into_response(),
        Err(error) => unavailable(&error),
    }
}

fn too_many() -> Response {
    later(failure(StatusCode::SERVICE_UNAVAILABLE, "too many questions at once"))
}

async fn explained(
    State(desk): State<Arc<Desk>>,
    Path((entity_type, id)): Path<(String, String)>,
) -> Response {
    let (Ok(entity_type), Ok(id)) = (entity_type.parse(), id.parse()) else {
        return failure(StatusCode::BAD_REQUEST, "not an entity type and an id");
    };
    let Some(_turn) = desk.turn().await else { return too_many() };
    match explain::explain(&desk.store, &desk.enabled, EntityRef::new(entity_type, id)).await {
        Ok(Some(explanation)) => Json(explanation).into_response(),
        Ok(None) => failure(StatusCode::NOT_FOUND, "there is no such entity"),
        Err(error) => unavailable(&error),
    }
}

fn unavailable(error: &StoreError) -> Response {
    if error.is_of_given_value() {
        return failure(StatusCode::BAD_REQUEST, "the database takes no such text");
    }
    tracing::warn!(error = chain(error), "The API can't read the database");
    failure(StatusCode::SERVICE_UNAVAILABLE, "the database can't be read")
}
