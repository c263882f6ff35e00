//! The conditions of `where[…]`, and the search commands (section 3).

use std::cmp::Ordering;

use serde_json::Value;

use super::collation::{fold, like};
use super::contact::Contact;
use super::field::{EMAIL, plain_text};
use super::params::entries;
use super::problem::Problem;
use super::store::Store;

/// One condition on a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Test { col: String, test: Test },
    All(Vec<Self>),
    Any(Vec<Self>),
}

/// What is asked of one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Compare { allowed: &'static [Ordering], with: String },
    Differs(String),
    Like { pattern: String, wanted: bool },
    In { values: Vec<String>, wanted: bool },
    Between(String, String),
    Null { wanted: bool },
    Empty { wanted: bool },
}

impl Condition {
    /// Reads `where`; what SQL would choke on is a 500.
    pub(super) fn list(value: &Value, store: &Store) -> Result<Vec<Self>, Problem> {
        entries(value).into_iter().map(|(_, condition)| Self::read(condition, store)).collect()
    }

    fn read(condition: &Value, store: &Store) -> Result<Self, Problem> {
        let text = |name: &str| condition.get(name).and_then(Value::as_str);
        let val = condition.get("val").unwrap_or(&Value::Null);
        let expr = text("expr").ok_or_else(Problem::fatal)?;
        match expr {
            "andX" => return Ok(Self::All(Self::list(val, store)?)),
            "orX" => return Ok(Self::Any(Self::list(val, store)?)),
            _ => {}
        }
        let col = text("col").ok_or_else(Problem::fatal)?.to_owned();
        let is_column = COLUMNS.contains(&col.as_str()) || store.field(&col).is_some();
        if !is_column {
            return Err(Problem::fatal());
        }
        let with = plain_text(val).ok().flatten().unwrap_or_default();
        let compare = |allowed| Test::Compare { allowed, with: with.clone() };
        let test = match expr {
            "eq" => compare(&[Ordering::Equal]),
            "lt" => compare(&[Ordering::Less]),
            "lte" => compare(&[Ordering::Less, Ordering::Equal]),
            "gt" => compare(&[Ordering::Greater]),
            "gte" => compare(&[Ordering::Greater, Ordering::Equal]),
            "neq" => Test::Differs(with),
            "like" | "notLike" => Test::Like { pattern: with, wanted: expr == "like" },
            "in" | "notIn" => Test::In { values: several(val), wanted: expr == "in" },
            "between" => match several(val).as_slice() {
                [from, to] => Test::Between(from.clone(), to.clone()),
                _ => return Err(Problem::fatal()),
            },
            "isNull" | "isNotNull" => Test::Null { wanted: expr == "isNull" },
            "isEmpty" | "isNotEmpty" => Test::Empty { wanted: expr == "isEmpty" },
            _ => return Err(Problem::fatal()),
        };
        Ok(Self::Test { col, test })
    }

    /// Whether the contact is one.
    pub(super) fn holds(&self, contact: &Contact) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(contact)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(contact)),
            Self::Test { col, test } => test.holds(cell(contact, col).as_deref()),
        }
    }

    /// The column and value of an equality, which an index may answer.
    pub(super) fn equality(&self) -> Option<(&str, &str)> {
        match self {
            Self::Test { col, test: Test::Compare { allowed: [Ordering::Equal], with } } => {
                Some((col, with))
            }
            Self::Test { .. } | Self::All(_) | Self::Any(_) => None,
        }
    }

    /// The lowest id that can hold: of a keyset, which need not look at the contacts before it.
    pub(super) fn lowest_id(&self) -> Option<i64> {
        match self {
            Self::Test { col, test: Test::Compare { allowed, with } }
                if col == "id" && !allowed.contains(&Ordering::Less) =>
            {
                with.parse().ok()
            }
            Self::Test { .. } | Self::All(_) | Self::Any(_) => None,
        }
    }
}

impl Test {
    /// SQL: a null is neither equal nor different, and in no list.
    fn holds(&self, cell: Option<&str>) -> bool {
        let known = |test: &dyn Fn(&str) -> bool| cell.is_some_and(test);
        match self {
            Self::Compare { allowed, with } => {
                known(&|cell| allowed.contains(&compare(cell, with)))
            }
            Self::Differs(with) => known(&|cell| compare(cell, with) != Ordering::Equal),
            Self::Like { pattern, wanted } => known(&|cell| like(cell, pattern) == *wanted),
            Self::In { values, wanted } => known(&|cell| {
                values.iter().any(|value| compare(cell, value) == Ordering::Equal) == *wanted
            }),
            Self::Between(from, to) => known(&|cell| {
                compare(cell, from) != Ordering::Less && compare(cell, to) != Ordering::Greater
            }),
            Self::Null { wanted } => cell.is_none() == *wanted,
            Self::Empty { wanted } => cell.is_none_or(str::is_empty) == *wanted,
        }
    }
}

/// The columns that are not fields.
const COLUMNS: [&str; 6] = ["id", "date_added", "date_modified", "points", "owner_id", "stage_id"];

/// A column's value as text; dates as the database has them.
pub(super) fn cell(contact: &Contact, col: &str) -> Option<String> {
    let date = |instant: jiff::Timestamp| instant.strftime("%Y-%m-%d %H:%M:%S").to_string();
    match col {
        "id" => Some(contact.id.to_string()),
        "date_added" => Some(date(contact.date_added)),
        "date_modified" => contact.date_modified.map(date),
        "points" => Some(contact.points.to_string()),
        "owner_id" => contact.owner.map(|id| id.to_string()),
        "stage_id" => contact.stage.map(|id| id.to_string()),
        alias => plain_text(contact.values.get(alias)?).ok()?,
    }
}

/// Numbers by size, everything else as the database collates.
pub(super) fn compare(one: &str, other: &str) -> Ordering {
    match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => one.total_cmp(&other),
        _ => fold(one).cmp(&fold(other)),
    }
}

fn several(val: &Value) -> Vec<String> {
    if let Some(text) = val.as_str() {
        return text.split(',').map(|part| part.trim().to_owned()).collect();
    }
    entries(val).into_iter().filter_map(|(_, value)| plain_text(value).ok()?).collect()
}

/// Whether a contact is found by `search`. The command `email:` is a LIKE on the beginning unless
/// it is strict (`+`); an address with `+` is never found; a locale without English commands does
/// not know it, and everybody is found.
pub(super) fn found(contact: &Contact, search: &str, locale: &str) -> bool {
    let (strict, search) = match search.strip_prefix('+') {
        Some(search) => (true, search),
        None => (false, search),
    };
    let email = contact.email().unwrap_or_default();
    match search.split_once(':') {
        Some(_) if !locale.starts_with("en") => true,
        Some((EMAIL, value)) if value.contains('+') => false,
        Some((EMAIL, value)) if strict => fold(email) == fold(value),
        Some((EMAIL, value)) => like(email, &format!("{value}%")),
        _ => {
            let pattern = format!("%{search}%");
            ["firstname", "lastname", "company", EMAIL]
                .into_iter()
                .any(|alias| contact.text(alias).is_some_and(|text| like(text, &pattern)))
        }
    }
}
