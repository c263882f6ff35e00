//! Segments and who is in them (section 5).

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::params::entries;
use super::problem::Problem;
use super::route::number;
use super::write::Desk;
use crate::Effect;

impl Desk<'_> {
    /// `POST /segments/{segment}/contact/{id}/add` and `/remove`
    pub(super) fn segment(&mut self, segment: i64, id: i64, add: bool) -> Result<Value, Problem> {
        self.visible(segment)?;
        let mut after = self.known(id)?;
        if add {
            after.manually_removed.remove(&segment);
            after.segments.insert(segment);
        } else {
            after.segments.remove(&segment);
            after.manually_removed.insert(segment);
        }
        self.commit(after, Effect::Patched, StatusCode::OK);
        Ok(json!({ "success": 1 }))
    }

    /// `POST /segments/{segment}/contacts/add`: 200 though some may have failed.
    pub(super) fn segment_many(&mut self, segment: i64, body: &Value) -> Result<Value, Problem> {
        self.visible(segment)?;
        let mut details = Map::new();
        for (_, id) in body.get("ids").map(entries).unwrap_or_default() {
            let Some(id) = number(id) else { continue };
            let added = self.segment(segment, id, true).is_ok();
            details.insert(id.to_string(), json!({ "success": added }));
        }
        Ok(json!({ "success": 1, "details": details }))
    }

    fn visible(&self, segment: i64) -> Result<(), Problem> {
        match self.store.segments.get(&segment) {
            None => Err(Problem::not_found()),
            Some(segment) if !segment.visible => Err(Problem::forbidden()),
            Some(_) => Ok(()),
        }
    }
}
