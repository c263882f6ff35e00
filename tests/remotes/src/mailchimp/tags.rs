//! The tags of a member: the only way to change those of an existing one.

use serde_json::Value;

use super::problem::{FieldError, Problem};
use super::upsert::{Desk, Written};
use crate::Effect;

impl Desk<'_> {
    /// `POST …/members/{hash}/tags`: also for archived members, also with an empty array.
    pub(super) fn change_tags(&mut self, key: &str, body: &Value) -> Result<Written, Problem> {
        let mut member = self.list.find(key).cloned().ok_or_else(Problem::not_found)?;
        let refused =
            |field: &str| Problem::schema(vec![FieldError::new(field, "This value is not valid.")]);
        let tags = body.get("tags").and_then(Value::as_array).ok_or_else(|| refused("tags"))?;
        let mut changes = Vec::new();
        for tag in tags {
            let text = |name: &str| tag.get(name).and_then(Value::as_str);
            let name = text("name").filter(|name| !name.trim().is_empty());
            let name = name.ok_or_else(|| refused("tags.item:0.name"))?;
            let active = match text("status") {
                Some("active") => true,
                Some("inactive") => false,
                _ => return Err(refused("tags.item:0.status")),
            };
            changes.push((name.trim(), active));
        }
        let before = member.tags.clone();
        for (name, active) in changes {
            if active {
                let key = self.list.tag_key(name, self.settings.tag_case);
                if !member.tags.contains(&key) {
                    member.tags.push(key);
                }
            } else {
                member.tags.retain(|key| *key != name.to_lowercase());
            }
        }
        let changed = member.tags != before;
        if changed && self.settings.tags_touch {
            member.last_changed = self.now;
        }
        let written = Written {
            id: member.id.clone(),
            ems_id: member.journal_id(),
            effect: Effect::Patched,
            changed,
            body: Value::Null,
        };
        self.list.put(member);
        Ok(written)
    }
}
