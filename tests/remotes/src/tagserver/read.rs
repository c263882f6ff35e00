//! Read by id, look-up by `externalId`, and pages. A filter that is unknown is ignored, as Spring
//! ignores it: the answer is then the full list, page by page.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::Value;
use tokio::time::Instant;

use super::field::Digits;
use super::options::TagServerSettings;
use super::problem::Problem;
use super::resource::Resource;
use super::route::EXTERNAL_ID;
use super::store::Store;
use crate::{Record, Request, Response};

const ID_GREATER_THAN: &str = "id.greaterThan";
const DEFAULT_SIZE: usize = 20;
const MAX_SIZE: usize = 2000;

/// What reads work with.
pub(super) struct Shelf<'a> {
    pub(super) store: &'a Store,
    pub(super) resource: Resource,
    pub(super) settings: &'a TagServerSettings,
    pub(super) digits: Digits,
}

/// Which page, in which order.
struct Page {
    number: usize,
    size: usize,
    ascending: bool,
}

impl Shelf<'_> {
    /// `GET /api/races/17`
    pub(super) fn read(&self, id: i64) -> Result<Response, Problem> {
        match self.body(id) {
            Some(body) => Ok(Response::json(StatusCode::OK, &body)),
            None => Err(Problem::plain(StatusCode::NOT_FOUND, "No row with this id")),
        }
    }

    /// `GET /api/races?…`
    pub(super) fn list(&self, request: &Request, record: &mut Record) -> Result<Response, Problem> {
        self.audit(request, record);
        let above = match request.query_value(ID_GREATER_THAN) {
            None => None,
            Some(text) => Some(text.parse::<i64>().map_err(|_| {
                Problem::plain(StatusCode::BAD_REQUEST, "id.greaterThan is a number")
            })?),
        };
        let page = page(request)?;
        let found = request.query_value(EXTERNAL_ID).map(|text| self.find(text, above));
        let ids = match &found {
            Some(found) => found.as_slice(),
            None => self.above(above),
        };
        let start = page.number.saturating_mul(page.size);
        let shown: Vec<i64> = if page.ascending {
            ids.iter().skip(start).take(page.size).copied().collect()
        } else {
            ids.iter().rev().skip(start).take(page.size).copied().collect()
        };
        let rows = shown.into_iter().filter_map(|id| self.body(id)).collect();
        Ok(Response::json(StatusCode::OK, &Value::Array(rows))
            .header("X-Total-Count", ids.len().to_string())
            .header("Link", links(request, &page, ids.len())))
    }

    /// The one row with this `externalId`, once the look-up index knows it.
    fn find(&self, external_id: &str, above: Option<i64>) -> Vec<i64> {
        let lag = Duration::from_millis(self.settings.find_lag_ms);
        let known = |id: &i64| {
            let created = self.store.created(self.resource, *id);
            created.is_some_and(|created| Instant::now().duration_since(created) >= lag)
        };
        let id = self.store.id_of(self.resource, external_id).filter(known);
        id.filter(|id| above.is_none_or(|above| *id > above)).into_iter().collect()
    }

    fn above(&self, above: Option<i64>) -> &[i64] {
        let ids = self.store.ids(self.resource);
        let start = above.map_or(0, |above| ids.partition_point(|id| *id <= above));
        ids.get(start..).unwrap_or_default()
    }

    fn body(&self, id: i64) -> Option<Value> {
        let fields = self.store.get(self.resource, id)?;
        Some(fields.body(self.resource, id, self.digits))
    }

    fn audit(&self, request: &Request, record: &mut Record) {
        for (name, _) in &request.query {
            if !["page", "size", "sort", ID_GREATER_THAN, EXTERNAL_ID].contains(&name.as_str()) {
                record.violation("unknown_filter", format!("{}?{name}", self.resource));
            }
        }
        let pages = request.query_value("page").is_some_and(|page| page != "0")
            || request.query_value(ID_GREATER_THAN).is_some();
        if pages && request.query_value("sort").is_none() {
            record.violation("unsorted_pages", self.resource.segment());
        }
        if number(request, "size").is_some_and(|size| size > MAX_SIZE) {
            record.violation("page_too_large", self.resource.segment());
        }
    }
}

/// Reads page, size and sort. Without `sort` no order is promised: here it is the newest first.
fn page(request: &Request) -> Result<Page, Problem> {
    let ascending = match request.query_value("sort") {
        None | Some("id,desc") => false,
        Some("id" | "id,asc") => true,
        Some(_) => {
            let detail = "Rows are sorted by id only";
            return Err(Problem::plain(StatusCode::BAD_REQUEST, detail));
        }
    };
    let size = number(request, "size").filter(|size| *size > 0).unwrap_or(DEFAULT_SIZE);
    let number = number(request, "page").unwrap_or(0);
    Ok(Page { number, size: size.min(MAX_SIZE), ascending })
}

/// A number of the query; what is not one counts as not given, as in Spring.
fn number(request: &Request, name: &str) -> Option<usize> {
    request.query_value(name)?.parse().ok()
}

/// The `Link` header, absolute as JHipster writes it. Behind TLS it says `http` all the same, as
/// a server behind a proxy does.
fn links(request: &Request, page: &Page, total: usize) -> String {
    let host = request.header("host").unwrap_or("localhost");
    let last = total.div_ceil(page.size).saturating_sub(1);
    let link = |number: usize, relation: &str| {
        let path = &request.path;
        let size = page.size;
        format!("<http://{host}{path}?page={number}&size={size}>; rel=\"{relation}\"")
    };
    let mut links = Vec::new();
    if page.number < last {
        links.push(link(page.number + 1, "next"));
    }
    if page.number > 0 {
        links.push(link(page.number - 1, "prev"));
    }
    links.push(link(last, "last"));
    links.push(link(0, "first"));
    links.join(",")
}
