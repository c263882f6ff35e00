//! The parameters of a list (sections 3 and 7).

use serde_json::Value;

use super::field::EMAIL;
use super::filter::Condition;
use super::params::{entries, nested};
use super::problem::Problem;
use super::store::Store;
use crate::{Record, Request};

/// Contacts in a page when nobody says.
const DEFAULT_LIMIT: usize = 30;

/// What a list is asked for.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) conditions: Vec<Condition>,
    pub(super) search: Option<String>,
    pub(super) start: usize,
    pub(super) limit: usize,
    pub(super) order_by: String,
    pub(super) descending: bool,
    pub(super) minimal: bool,
    /// What a cached total is kept under: everything but the page.
    pub(super) cache_key: String,
}

impl Query {
    /// Reads the query, and notes what it should not ask.
    pub(super) fn read(
        request: &Request,
        store: &Store,
        record: &mut Record,
    ) -> Result<Self, Problem> {
        let query = nested(request.query.iter().cloned());
        let none = Value::Null;
        let conditions = query.get("where").unwrap_or(&none);
        for (_, condition) in entries(conditions) {
            audit(condition, record);
        }
        let text = |name: &str| request.query_value(name).filter(|text| !text.is_empty());
        let number = |name: &str| text(name).and_then(|text| text.parse::<usize>().ok());
        let search = text("search").map(str::to_owned);
        if search.is_some() {
            record.violation("search_command", "search");
        }
        let start = number("start").unwrap_or(0);
        if start > 0 {
            record.violation("offset_paging", "start");
        }
        let of_the_page = |name: &str| matches!(name, "start" | "limit" | "access_token");
        let cache_key = request
            .query
            .iter()
            .filter(|(name, _)| !of_the_page(name))
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect();
        Ok(Self {
            conditions: Condition::list(conditions, store)?,
            search,
            start,
            limit: number("limit").filter(|limit| *limit > 0).unwrap_or(DEFAULT_LIMIT),
            order_by: text("orderBy").unwrap_or("id").to_owned(),
            descending: text("orderByDir").is_some_and(|way| way.eq_ignore_ascii_case("desc")),
            minimal: text("minimal").is_some_and(|minimal| minimal != "0" && minimal != "false"),
            cache_key,
        })
    }
}

fn audit(condition: &Value, record: &mut Record) {
    let text = |name: &str| condition.get(name).and_then(Value::as_str);
    if text("expr").is_none() {
        record.violation("where_without_expr", "where");
    }
    if text("col") == Some(EMAIL) && text("val").is_some_and(|val| val.contains(' ')) {
        // PHP reads a plain `+` as a space.
        record.violation("unencoded_plus", EMAIL);
    }
}
