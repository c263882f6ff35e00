//! A defined custom attribute: only such can be filtered (contract, sections 2 and 3).

use serde_json::{Value, json};

use super::filter::Kind;

/// The display types, by their numbers.
const TYPES: [&str; 8] =
    ["text", "number", "currency", "percent", "link", "date", "list", "checkbox"];
/// The models, by their numbers.
const MODELS: [&str; 2] = ["conversation_attribute", "contact_attribute"];

/// A row of `custom_attribute_definitions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) id: i64,
    pub(super) key: String,
    pub(super) display_name: String,
    display_type: usize,
    model: usize,
}

impl Definition {
    /// A definition as it is sent; enumerations come as numbers or as words.
    pub(super) fn read(id: i64, sent: &Value) -> Option<Self> {
        let text = |name: &str| sent.get(name).and_then(Value::as_str).filter(|t| !t.is_empty());
        let key = text("attribute_key")?.to_owned();
        let display_name = text("attribute_display_name").unwrap_or(&key).to_owned();
        let display_type = chosen(sent.get("attribute_display_type"), &TYPES)?;
        let model = chosen(sent.get("attribute_model"), &MODELS)?;
        Some(Self { id, key, display_name, display_type, model })
    }

    /// Whether it is about the model of this number or word.
    pub(super) fn is_about(&self, model: &str) -> bool {
        let number = model.parse().ok();
        number.unwrap_or_else(|| MODELS.iter().position(|one| *one == model).unwrap_or(0))
            == self.model
    }

    /// Whether two stand for the same.
    pub(super) fn clashes(&self, other: &Self) -> bool {
        self.key == other.key && self.model == other.model
    }

    /// What the contact attribute of this key holds, if it is defined.
    pub(super) fn kind_of<'a>(
        mut definitions: impl Iterator<Item = &'a Self>,
        key: &str,
    ) -> Option<Kind> {
        let found = definitions.find(|one| one.key == key && one.is_about("1"))?;
        match TYPES.get(found.display_type) {
            Some(&"text" | &"link" | &"list") => Some(Kind::CustomText),
            Some(&"date") => Some(Kind::Day),
            _ => Some(Kind::CustomOther),
        }
    }

    /// As the REST API shows it.
    pub(super) fn body(&self) -> Value {
        json!({
            "id": self.id,
            "attribute_key": self.key,
            "attribute_display_name": self.display_name,
            "attribute_display_type": TYPES.get(self.display_type),
            "attribute_model": MODELS.get(self.model),
        })
    }
}

/// The number of an enumeration's value; the first if none is given.
fn chosen(sent: Option<&Value>, words: &[&str]) -> Option<usize> {
    match sent {
        None | Some(Value::Null) => Some(0),
        Some(Value::String(word)) => words.iter().position(|one| one == word),
        Some(value) => {
            let number = usize::try_from(value.as_u64()?).ok()?;
            (number < words.len()).then_some(number)
        }
    }
}
