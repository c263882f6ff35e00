//! What a contact's body says: the flat aliases and what is not a field (section 2a).

use serde_json::{Map, Value};

use super::audit;
use super::consent::Change;
use super::field::{Accepted, Field, is_numeric_zero, moment, plain_text};
use super::options::{MauticSettings, Version, Zeros};
use super::problem::Problem;
use super::route::number;
use crate::Record;

/// Keys of a body that are no fields.
pub(super) const PROPERTIES: [&str; 11] = [
    "id",
    "tags",
    "owner",
    "stage",
    "points",
    "ipAddress",
    "lastActive",
    "overwriteWithBlank",
    "doNotContact",
    "frequencyRules",
    "isPublished",
];

/// A body, decoded and validated. What is absent is `None`.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) values: Vec<(String, Accepted)>,
    pub(super) tags: Vec<String>,
    pub(super) owner: Option<Option<i64>>,
    pub(super) stage: Option<Option<i64>>,
    pub(super) points: Option<i64>,
    pub(super) last_active: Option<String>,
    pub(super) overwrite_with_blank: bool,
    pub(super) do_not_contact: Vec<Change>,
    pub(super) frequency_rules: Option<Map<String, Value>>,
}

impl Draft {
    /// Reads a body; `whole` is a PUT, which takes zeros as they are.
    pub(super) fn read(
        body: &Map<String, Value>,
        whole: bool,
        fields: &[Field],
        settings: &MauticSettings,
        record: &mut Record,
    ) -> Result<Self, Problem> {
        audit::body(body, whole, fields, record);
        let dropped = |value: &Value| match settings.zeros {
            _ if whole => false,
            Zeros::Dropped => is_numeric_zero(value) || *value == Value::Bool(false),
            Zeros::FalseKept => is_numeric_zero(value),
            Zeros::Kept => false,
        };
        let mut draft = Self::default();
        let mut errors = Vec::new();
        for field in fields {
            let Some(sent) = body.get(&field.alias) else { continue };
            let accepted = if dropped(sent) {
                Ok(Accepted::Dropped)
            } else {
                field.accept(sent, settings.php_utc_offset_minutes)
            };
            match accepted {
                Ok(accepted) => draft.values.push((field.alias.clone(), accepted)),
                Err(_) => errors.push((field.alias.clone(), "This value is not valid.".to_owned())),
            }
        }
        if !errors.is_empty() {
            return Err(Problem::validation(errors, settings));
        }
        draft.tags = tags(body.get("tags"), settings.version);
        draft.owner = body.get("owner").map(number);
        draft.stage = body.get("stage").map(number);
        draft.points = body.get("points").filter(|points| !dropped(points)).and_then(number);
        draft.last_active = body.get("lastActive").and_then(|sent| {
            let moment = moment(sent.as_str()?.trim(), settings.php_utc_offset_minutes)?;
            Some(moment.strftime("%Y-%m-%d %H:%M:00").to_string())
        });
        draft.overwrite_with_blank = body.get("overwriteWithBlank").is_some_and(truth);
        draft.do_not_contact = Change::list(body.get("doNotContact"), settings)?;
        draft.frequency_rules = frequency_rules(body.get("frequencyRules"))?;
        Ok(draft)
    }

    /// The unique identifiers it brings: alias and text.
    pub(super) fn identifiers(&self, is_unique: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let identifier = |(alias, accepted): &(String, Accepted)| match accepted {
            Accepted::Set(value) if is_unique(alias) => {
                Some((alias.clone(), plain_text(value).ok()??))
            }
            Accepted::Set(_) | Accepted::Blank | Accepted::Dropped => None,
        };
        self.values.iter().filter_map(identifier).collect()
    }

    /// The text that a field is set to.
    pub(super) fn text(&self, alias: &str) -> Option<&str> {
        let (_, accepted) = self.values.iter().find(|(other, _)| other == alias)?;
        match accepted {
            Accepted::Set(value) => value.as_str(),
            Accepted::Blank | Accepted::Dropped => None,
        }
    }
}

/// Tags to add, and with `-` to remove; as a list or separated by commas.
fn tags(sent: Option<&Value>, version: Version) -> Vec<String> {
    let Some(sent) = sent else { return Vec::new() };
    if sent.as_array().is_some_and(Vec::is_empty) && version == Version::V3 {
        // The tag that 3.x makes of nothing.
        return vec![String::new()];
    }
    let texts: Vec<String> = match sent.as_str() {
        Some(text) => text.split(',').map(str::to_owned).collect(),
        None => {
            let list = sent.as_array().into_iter().flatten();
            list.filter_map(|tag| plain_text(tag).ok()?).collect()
        }
    };
    let trimmed = texts.iter().map(|tag| tag.trim().to_owned());
    trimmed.filter(|tag| !tag.is_empty()).collect()
}

/// The rules by channel. PHP reads every sub-key without looking whether it is there.
fn frequency_rules(sent: Option<&Value>) -> Result<Option<Map<String, Value>>, Problem> {
    const SUB_KEYS: [&str; 4] =
        ["frequency_number", "frequency_time", "pause_from_date", "pause_to_date"];
    let Some(sent) = sent else { return Ok(None) };
    let rules = sent.as_object().cloned().unwrap_or_default();
    let channels = rules.iter().filter(|(name, _)| *name != "global_categories");
    let is_whole = |rule: &Value| SUB_KEYS.iter().all(|name| rule.get(name).is_some());
    if channels.clone().all(|(_, rule)| is_whole(rule)) {
        Ok(Some(rules))
    } else {
        Err(Problem::fatal())
    }
}

/// What PHP takes for true.
fn truth(value: &Value) -> bool {
    plain_text(value).is_ok_and(|text| !matches!(text.as_deref(), None | Some("0" | "false")))
}
