//! Filter conditions: parsed, checked and applied as Chatwoot turns them into SQL (contract,
//! section 3).

use jiff::Span;
use jiff::civil::Date;
use serde_json::Value;

use super::refusal::Refusal;
use crate::Record;

/// What a key holds, and so which operators it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, compared without case.
    Text,
    /// A phone number: a `+` is put before what is sought.
    PhoneNumber,
    /// Compared without case, as a whole only.
    Identifier,
    /// Another attribute in a JSON column.
    Attribute,
    /// A custom attribute of type text: a JSON number is an exception.
    CustomText,
    /// A custom attribute of another type.
    CustomOther,
    /// A day.
    Day,
    /// Words of a set, or one of an enumeration.
    Words,
}

/// One comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    EqualTo,
    NotEqualTo,
    Contains,
    DoesNotContain,
    StartsWith,
    IsPresent,
    IsNotPresent,
    IsGreaterThan,
    IsLessThan,
    DaysBefore,
}

/// One condition.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    key: String,
    operator: Operator,
    /// Lower case.
    values: Vec<String>,
    /// Whether the next one is an alternative.
    or_next: bool,
}

/// How the conditions of one resource are read.
pub(super) struct Grammar<'a> {
    /// What a key holds.
    pub(super) kind_of: &'a dyn Fn(&str) -> Option<Kind>,
    /// Whether it is about contacts: there only the first value counts, and numbers harm.
    pub(super) of_contacts: bool,
    /// Today, in the database's time zone.
    pub(super) today: Date,
}

/// The keys that are compared with `equal_to`, and with what.
pub(super) fn equalities(body: &Value) -> impl Iterator<Item = (&str, &str)> {
    let conditions = body.get("payload").and_then(Value::as_array).into_iter().flatten();
    conditions.filter_map(|condition| {
        let text = |name: &str| condition.get(name).and_then(Value::as_str);
        let value = condition.get("values")?.as_array()?.first()?.as_str()?;
        (text("filter_operator") == Some("equal_to")).then_some((text("attribute_key")?, value))
    })
}

impl Grammar<'_> {
    /// Reads the conditions.
    pub(super) fn read(
        &self,
        body: &serde_json::Map<String, Value>,
        record: &mut Record,
    ) -> Result<Vec<Condition>, Refusal> {
        let Some(sent) = body.get("payload").and_then(Value::as_array) else {
            record.violation("malformed_filter", "payload is missing");
            return Err(Refusal::Error("param is missing or the value is empty: payload".into()));
        };
        let mut conditions = Vec::new();
        let mut broken = false;
        for (index, condition) in sent.iter().enumerate() {
            let is_last = index + 1 == sent.len();
            let read = self.condition(condition, record)?;
            let query_operator = condition.get("query_operator").and_then(Value::as_str);
            let or_next = match query_operator.map(str::to_ascii_uppercase).as_deref() {
                None | Some("") => {
                    broken |= !is_last;
                    false
                }
                Some(joint @ ("AND" | "OR")) => {
                    broken |= is_last;
                    joint == "OR"
                }
                Some(_) => {
                    record.violation("malformed_filter", "query_operator");
                    return Err(Refusal::Error("Query operator must be AND or OR.".into()));
                }
            };
            conditions.push(Condition { or_next, ..read });
        }
        if broken {
            // The SQL does not parse.
            record.violation("malformed_filter", "query_operator of the last condition");
            return Err(Refusal::Exception);
        }
        Ok(conditions)
    }

    fn condition(&self, sent: &Value, record: &mut Record) -> Result<Condition, Refusal> {
        let text = |name: &str| sent.get(name).and_then(Value::as_str).unwrap_or_default();
        let key = text("attribute_key");
        let Some(kind) = (self.kind_of)(key) else {
            return Err(Refusal::Error(format!(
                "Invalid attribute key - [{key}]. The key should be one of the standard or \
                custom attributes."
            )));
        };
        let Some(operator) = operator(kind, text("filter_operator")) else {
            record.violation("malformed_filter", format!("operator of {key}"));
            return Err(Refusal::Error(format!("Invalid operator. The operators for {key} are …")));
        };
        let values = sent.get("values").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if self.of_contacts && values.iter().any(Value::is_number) {
            record.violation("number_in_filter", key);
            if kind == Kind::CustomText {
                return Err(Refusal::Exception);
            }
        }
        if self.of_contacts && values.len() > 1 {
            record.violation("many_values_in_filter", key);
        }
        let wanted = if self.of_contacts { 1 } else { values.len() };
        let values = values.iter().filter_map(lowered).take(wanted);
        let values: Vec<String> = if kind == Kind::PhoneNumber {
            values.map(|value| format!("+{}", value.replace('+', ""))).collect()
        } else {
            values.collect()
        };
        let without_value = matches!(operator, Operator::IsPresent | Operator::IsNotPresent);
        let values = if without_value { values } else { self.checked(key, operator, values)? };
        Ok(Condition { key: key.to_owned(), operator, values, or_next: false })
    }

    /// The values, as far as they fit; days become dates.
    fn checked(
        &self,
        key: &str,
        operator: Operator,
        values: Vec<String>,
    ) -> Result<Vec<String>, Refusal> {
        let invalid = || Refusal::Error(format!("Invalid value. The values for {key} are invalid"));
        let Some(first) = values.first() else { return Err(invalid()) };
        if matches!(operator, Operator::IsGreaterThan | Operator::IsLessThan) {
            let day: Date = first.get(..10).ok_or_else(invalid)?.parse().map_err(|_| invalid())?;
            return Ok(vec![day.to_string()]);
        }
        if operator == Operator::DaysBefore {
            let days: i32 = first.parse().map_err(|_| invalid())?;
            let span: Span = Span::new().try_days(days).map_err(|_| invalid())?;
            let day = self.today.checked_sub(span).map_err(|_| invalid())?;
            return Ok(vec![day.to_string()]);
        }
        Ok(values)
    }
}

fn lowered(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.to_lowercase()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The operator of this name, if the kind has it.
fn operator(kind: Kind, name: &str) -> Option<Operator> {
    let operator = match name {
        "equal_to" => Operator::EqualTo,
        "not_equal_to" => Operator::NotEqualTo,
        "contains" => Operator::Contains,
        "does_not_contain" => Operator::DoesNotContain,
        "starts_with" => Operator::StartsWith,
        "is_present" => Operator::IsPresent,
        "is_not_present" => Operator::IsNotPresent,
        "is_greater_than" => Operator::IsGreaterThan,
        "is_less_than" => Operator::IsLessThan,
        "days_before" => Operator::DaysBefore,
        _ => return None,
    };
    let has = match operator {
        Operator::EqualTo | Operator::NotEqualTo => kind != Kind::Day,
        Operator::Contains | Operator::DoesNotContain => {
            matches!(kind, Kind::Text | Kind::PhoneNumber | Kind::Attribute | Kind::CustomText)
        }
        Operator::StartsWith => kind == Kind::PhoneNumber,
        Operator::IsPresent | Operator::IsNotPresent => {
            matches!(kind, Kind::Attribute | Kind::CustomText | Kind::CustomOther | Kind::Words)
        }
        Operator::IsGreaterThan | Operator::IsLessThan | Operator::DaysBefore => kind == Kind::Day,
    };
    has.then_some(operator)
}

/// One equality with a key of `indexed` for each alternative: no row fits that has none of them.
/// `None` if an alternative has no such equality.
pub(super) fn anchors<'c>(
    conditions: &'c [Condition],
    indexed: &[&'static str],
) -> Option<Vec<(&'static str, &'c str)>> {
    let anchor = |group: &'c [Condition]| {
        group.iter().find_map(|condition| {
            let key = indexed.iter().find(|key| **key == condition.key)?;
            let value = condition.values.first()?;
            (condition.operator == Operator::EqualTo).then_some((*key, value.as_str()))
        })
    };
    if conditions.is_empty() {
        return None;
    }
    conditions.split_inclusive(|condition| condition.or_next).map(anchor).collect()
}

/// Whether a row fits; AND binds more tightly, as in SQL.
pub(super) fn holds(conditions: &[Condition], values_of: impl Fn(&str) -> Vec<String>) -> bool {
    let groups = conditions.split_inclusive(|condition| condition.or_next);
    let mut any = conditions.is_empty();
    for group in groups {
        any |= group.iter().all(|condition| condition.holds(&values_of(&condition.key)));
    }
    any
}

impl Condition {
    /// Whether a row fits that holds `found` under the key; an empty list is null.
    fn holds(&self, found: &[String]) -> bool {
        let found: Vec<String> = found.iter().map(|text| text.to_lowercase()).collect();
        let any = |test: &dyn Fn(&str, &str) -> bool| {
            found.iter().any(|text| self.values.iter().any(|value| test(text, value)))
        };
        match self.operator {
            Operator::EqualTo => any(&|text, value| text == value),
            Operator::NotEqualTo => !any(&|text, value| text == value),
            Operator::Contains => any(&|text, value| text.contains(value)),
            Operator::DoesNotContain => !any(&|text, value| text.contains(value)),
            Operator::StartsWith => any(&|text, value| text.starts_with(value)),
            Operator::IsPresent => !found.is_empty(),
            Operator::IsNotPresent => found.is_empty(),
            Operator::IsGreaterThan => any(&|text, value| text > value),
            Operator::IsLessThan | Operator::DaysBefore => any(&|text, value| text < value),
        }
    }
}

/// `text ILIKE '%pattern%'`, with the pattern's own wildcards.
pub(super) fn is_like(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let pattern: Vec<char> = format!("%{}%", pattern.to_lowercase()).chars().collect();
    // The two-pointer walk: on a mismatch, the last `%` takes one character more.
    let (mut at, mut wanted) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while let Some(character) = text.get(at) {
        match pattern.get(wanted) {
            Some('%') => {
                retry = Some((wanted, at));
                wanted += 1;
            }
            Some(one) if *one == '_' || one == character => {
                at += 1;
                wanted += 1;
            }
            _ => match retry {
                None => return false,
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    wanted = star + 1;
                    at = from + 1;
                }
            },
        }
    }
    pattern.iter().skip(wanted).all(|character| *character == '%')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ilike_knows_case_and_wildcards() {
        for (text, pattern) in [("Ada Byron", "a b"), ("a_b", "a_b"), ("axb", "a_b"), ("ab", "%")] {
            assert!(is_like(text, pattern), "{text} {pattern}");
        }
        for (text, pattern) in [("ada", "ab"), ("", "_"), ("+27", " 27")] {
            assert!(!is_like(text, pattern), "{text} {pattern}");
        }
    }
}
