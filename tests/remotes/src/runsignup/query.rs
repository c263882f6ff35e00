//! The parameters of the reads of participants (contract, sections 4c and 4d).

use super::error::ApiError;
use crate::{Record, Request};

/// Rows of one page at most; more are cut in silence.
const MAX_PAGE: usize = 2500;
/// Rows of one page if nothing is said.
const DEFAULT_PAGE: usize = 50;

/// Every parameter of `GET …/participants` in the contract, credentials and format apart.
const PARTICIPANTS: &[&str] = &[
    "event_id",
    "page",
    "results_per_page",
    "sort",
    "after_registration_id",
    "before_registration_id",
    "modified_after_timestamp",
    "registered_after_timestamp",
    "registered_before_timestamp",
    "include_questions",
    "include_corrals",
    "include_registration_addons",
    "include_registration_notes",
    "include_memberships",
    "include_checkin_data",
    "include_profile_type",
    "include_user_anonymous_flag",
    "include_transferred_participants",
    "exclude_registrations_via_super_event",
    "include_pending_lottery_selection",
    "supports_nb",
    "search_first_name",
    "search_last_name",
    "search_email",
    "search_bib",
    "include_template_participant",
];

/// Those of `GET …/removed-participants` besides.
const REMOVED: &[&str] = &["condensed_format"];

/// What every call may carry.
pub(super) const EVERYWHERE: &[&str] = &[
    "format",
    "rsu_api_key",
    "api_key",
    "api_secret",
    "sp_api_key",
    "rsu_api_reg",
    "tmp_key",
    "tmp_secret",
    "protected_api_signature",
];

/// What the rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Id,
    RegistrationDate,
    Age,
    Name,
    FirstName,
    LastName,
    Bib,
    Chip,
    Gender,
    LastModified,
}

/// Which rows, in which order, with what.
#[allow(clippy::struct_excessive_bools, reason = "each is a parameter of the query")]
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub(super) events: Vec<i64>,
    pub(super) page: usize,
    pub(super) size: usize,
    pub(super) key: Key,
    pub(super) descending: bool,
    pub(super) after: i64,
    pub(super) before: i64,
    pub(super) modified_after: Option<i64>,
    pub(super) registered_after: Option<i64>,
    pub(super) registered_before: Option<i64>,
    pub(super) first_name: Option<String>,
    pub(super) last_name: Option<String>,
    pub(super) email: Option<String>,
    pub(super) bib: Option<i64>,
    pub(super) with_transferred: bool,
    pub(super) with_questions: bool,
    pub(super) with_template: bool,
    pub(super) supports_nb: bool,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            page: 1,
            size: DEFAULT_PAGE,
            // Whoever needs another order must ask for it.
            key: Key::Name,
            descending: false,
            after: i64::MIN,
            before: i64::MAX,
            modified_after: None,
            registered_after: None,
            registered_before: None,
            first_name: None,
            last_name: None,
            email: None,
            bib: None,
            with_transferred: false,
            with_questions: false,
            with_template: false,
            supports_nb: false,
        }
    }
}

impl Filter {
    /// Reads the query; `removed` is for `removed-participants`.
    pub(super) fn read(
        request: &Request,
        removed: bool,
        record: &mut Record,
    ) -> Result<Self, ApiError> {
        audit(request, removed, record);
        let text = |name| request.query_value(name).filter(|text| !text.is_empty());
        let lower = |name| text(name).map(str::to_lowercase);
        let flag = |name| text(name) == Some("T");
        let number = |name, default| match text(name) {
            None => Ok(default),
            Some(text) => text.parse::<i64>().map_err(|_| ApiError::new(3)),
        };
        let time = |name| text(name).map(leading_number);
        let events: Result<Vec<i64>, _> =
            text("event_id").unwrap_or_default().split(',').map(|id| id.trim().parse()).collect();
        let (key, descending) = sort(request, removed, record)?;
        let bib = text("search_bib").map(|text| text.parse().unwrap_or(i64::MIN));
        Ok(Self {
            events: events.map_err(|_| ApiError::new(3))?,
            page: usize::try_from(number("page", 1)?.max(1)).unwrap_or(usize::MAX),
            size: size(number("results_per_page", 0)?, DEFAULT_PAGE, MAX_PAGE),
            key,
            descending,
            after: number("after_registration_id", i64::MIN)?,
            before: number("before_registration_id", i64::MAX)?,
            modified_after: time("modified_after_timestamp"),
            registered_after: time("registered_after_timestamp"),
            registered_before: time("registered_before_timestamp"),
            first_name: lower("search_first_name"),
            last_name: lower("search_last_name"),
            email: lower("search_email"),
            bib,
            with_transferred: flag("include_transferred_participants"),
            with_questions: flag("include_questions"),
            with_template: flag("include_template_participant"),
            supports_nb: flag("supports_nb"),
        })
    }

    /// The rows of the page.
    pub(super) fn page_of<T>(&self, rows: Vec<T>) -> impl Iterator<Item = T> {
        let start = self.page.saturating_sub(1).saturating_mul(self.size);
        rows.into_iter().skip(start).take(self.size)
    }
}

/// How many rows a page has.
pub(super) fn size(wanted: i64, default: usize, most: usize) -> usize {
    usize::try_from(wanted).ok().filter(|size| *size > 0).unwrap_or(default).min(most)
}

/// Notes parameters that the contract does not have.
pub(super) fn unknown(request: &Request, known: &[&[&str]], record: &mut Record) {
    for (name, _) in &request.query {
        let is_known = EVERYWHERE.contains(&name.as_str())
            || known.iter().any(|names| names.contains(&name.as_str()));
        if !is_known {
            record.violation("unknown_parameter", name.as_str());
        }
    }
}

/// A number as PHP reads one: the digits in front, so that a date is its year.
fn leading_number(text: &str) -> i64 {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

fn sort(request: &Request, removed: bool, record: &mut Record) -> Result<(Key, bool), ApiError> {
    let Some(text) = request.query_value("sort") else { return Ok((Key::Name, false)) };
    let (name, direction) = text.trim().split_once(' ').unwrap_or((text, "ASC"));
    let key = match (name, removed) {
        ("registration_id", _) => Some(Key::Id),
        ("registration_date", _) => Some(Key::RegistrationDate),
        ("last_modified", true) => Some(Key::LastModified),
        ("age", false) => Some(Key::Age),
        ("name", false) => Some(Key::Name),
        ("first_name", false) => Some(Key::FirstName),
        ("last_name", false) => Some(Key::LastName),
        ("bib_num", false) => Some(Key::Bib),
        ("chip_num", false) => Some(Key::Chip),
        ("gender", false) => Some(Key::Gender),
        _ => None,
    };
    let descending = match direction.trim() {
        "ASC" => Some(false),
        "DESC" => Some(true),
        _ => None,
    };
    key.zip(descending).ok_or_else(|| {
        record.violation("unknown_sort", name);
        ApiError::new(3)
    })
}

fn audit(request: &Request, removed: bool, record: &mut Record) {
    unknown(request, &[PARTICIPANTS, if removed { REMOVED } else { &[] }], record);
    let text = |name| request.query_value(name);
    let number = |name| text(name).and_then(|text| text.parse::<i64>().ok());
    if text("supports_nb") != Some("T") {
        record.violation("no_supports_nb", "supports_nb");
    }
    if number("page").is_some_and(|page| page > 1) {
        record.violation("pages_by_number", "page");
    }
    let by_id = text("sort").is_some_and(|sort| sort == "registration_id ASC");
    let walks = text("after_registration_id").is_some() && text("before_registration_id").is_none();
    if walks && !by_id {
        record.violation("unsorted_walk", "sort");
    }
    if number("results_per_page").is_some_and(|size| size > 2500) {
        record.violation("page_too_large", "results_per_page");
    }
    if text("include_template_participant") == Some("T") {
        record.violation("template_participant", "include_template_participant");
    }
    let times =
        ["modified_after_timestamp", "registered_after_timestamp", "registered_before_timestamp"];
    for name in times {
        if text(name).is_some() && number(name).is_none() {
            record.violation("timestamp_not_a_number", name);
        }
    }
}
