//! Lists of things, page by page, and the search.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::list::List;
use super::member::{Member, Status, stamp};
use super::options::MailChimpSettings;
use super::problem::{FieldError, Problem};
use super::store::Store;
use crate::{Record, Request};

/// The page size that nobody asked for.
const COUNT: usize = 10;
/// The largest page; more is cut in silence.
const MAX_COUNT: usize = 1000;

/// What a list of members takes.
const PARAMETERS: [&str; 9] = [
    "fields",
    "exclude_fields",
    "count",
    "offset",
    "status",
    "since_last_changed",
    "before_last_changed",
    "sort_field",
    "sort_dir",
];

/// One page of `items`, under `name`, with the number of all.
pub(super) fn page(
    name: &str,
    items: Vec<Value>,
    request: &Request,
    record: &mut Record,
) -> Result<Value, Problem> {
    let number = |name: &str, default: usize| match request.query_value(name) {
        None => Ok(default),
        Some(text) => text.parse::<usize>().map_err(|_| {
            Problem::schema(vec![FieldError::new(name, "This value should be a number.")])
        }),
    };
    let (count, offset) = (number("count", COUNT)?, number("offset", 0)?);
    if count > MAX_COUNT {
        record.violation("page_too_large", count.to_string());
    }
    let total = items.len();
    let items: Vec<Value> = items.into_iter().skip(offset).take(count.min(MAX_COUNT)).collect();
    Ok(json!({ name: items, "total_items": total, "_links": [] }))
}

/// `GET /lists/{id}/members`: strictly after `since_last_changed`, to the second.
pub(super) fn members(
    list: &List,
    settings: &MailChimpSettings,
    request: &Request,
    record: &mut Record,
) -> Result<Value, Problem> {
    for (name, _) in request.query.iter().filter(|(name, _)| !PARAMETERS.contains(&name.as_str())) {
        record.violation("unknown_parameter", name.as_str());
    }
    let since = instant(request, "since_last_changed", record)?;
    let before = instant(request, "before_last_changed", record)?;
    let status = match request.query_value("status") {
        None => None,
        Some(word) => Some(Status::of(word).ok_or_else(|| {
            let message = "Data presented is not one of the accepted values.";
            Problem::schema(vec![FieldError::new("status", message)])
        })?),
    };
    let wanted = |member: &&Member| {
        let shown = match status {
            Some(status) => member.status == status,
            None => member.status != Status::Archived || settings.lists_archived,
        };
        let second = member.last_changed.as_second();
        shown
            && since.is_none_or(|since| second > since.as_second())
            && before.is_none_or(|before| second < before.as_second())
    };
    // Without a wish the newest comes first.
    let mut found: Vec<&Member> = list.members().filter(wanted).collect();
    let sort = request.query_value("sort_field");
    let descending =
        request.query_value("sort_dir").is_some_and(|d| d.eq_ignore_ascii_case("desc"));
    let key = |member: &Member| match sort {
        Some("last_changed") => stamp(member.last_changed),
        Some(name) => member.origin.get(name).cloned().unwrap_or_default(),
        None => String::new(),
    };
    found.sort_by_key(|member| (key(member), member.web_id));
    if descending || sort.is_none() {
        found.reverse();
    }
    if sort.is_none() && request.query_value("offset").is_some_and(|offset| offset != "0") {
        record.violation("unsorted_pages", list.options.id.as_str());
    }
    let items = found.into_iter().map(|member| member.to_value(list)).collect();
    let mut body = page("members", items, request, record)?;
    if let Some(body) = body.as_object_mut() {
        body.insert("list_id".to_owned(), json!(list.options.id));
    }
    Ok(body)
}

/// `GET /search-members?query=`
pub(super) fn search(store: &Store, request: &Request) -> Result<Value, Problem> {
    let query = request.query_value("query").unwrap_or_default().to_lowercase();
    if query.is_empty() {
        return Err(Problem::schema(vec![FieldError::new(
            "query",
            "This value should not be blank.",
        )]));
    }
    let in_list = request.query_value("list_id");
    let lists = store.lists().iter().filter(|list| in_list.is_none_or(|id| id == list.options.id));
    let (mut exact, mut partial) = (Vec::new(), Vec::new());
    for list in lists {
        for member in list.members() {
            let email = member.email_address.to_lowercase();
            if email == query {
                exact.push(member.to_value(list));
            }
            let value = member.merge_values(list);
            let named = |tag: &str| {
                let name = value.get(tag).and_then(Value::as_str).unwrap_or_default();
                name.to_lowercase().contains(&query)
            };
            if email.contains(&query) || named("FNAME") || named("LNAME") {
                partial.push(member.to_value(list));
            }
        }
    }
    Ok(json!({
        "exact_matches": { "total_items": exact.len(), "members": exact },
        "full_search": { "total_items": partial.len(), "members": partial },
        "_links": [],
    }))
}

/// An instant of the query. A `+` that was not encoded has become a space.
fn instant(
    request: &Request,
    name: &str,
    record: &mut Record,
) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = request.query_value(name) else { return Ok(None) };
    if text.contains(' ') {
        record.violation("unencoded_plus", name);
    }
    text.parse().map(Some).map_err(|_| {
        let message = "This value is not a valid datetime.";
        Problem::schema(vec![FieldError::new(name, message)])
    })
}
