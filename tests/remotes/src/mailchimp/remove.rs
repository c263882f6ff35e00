//! Archive, and deletion for good.

use serde_json::Value;

use super::address::subscriber_hash;
use super::member::{Member, Status};
use super::problem::Problem;
use super::upsert::{Desk, Written};
use super::webhook::{Event, Source};
use crate::Effect;

impl Desk<'_> {
    /// `DELETE …/members/{hash}`: a member can be archived once.
    pub(super) fn archive(&mut self, key: &str) -> Result<Written, Problem> {
        let mut member = self.list.find(key).cloned().ok_or_else(Problem::not_found)?;
        if matches!(member.status, Status::Archived | Status::Pending | Status::Cleaned) {
            let detail = "Can not archive a contact that is bounced, pending or archived";
            return Err(Problem::not_allowed(detail));
        }
        if member.protected {
            let detail = "This list member cannot be removed. Please contact support.";
            return Err(Problem::not_allowed(detail));
        }
        member.status = Status::Archived;
        member.archived_by = Some(Source::Api);
        member.last_changed = self.now;
        self.list.tell(Event::Unsubscribe, Source::Api, &member, None, self.now);
        let written = removed(&member);
        self.list.put(member);
        Ok(written)
    }

    /// `POST …/members/{hash}/actions/delete-permanent`
    pub(super) fn forget(&mut self, key: &str) -> Result<Written, Problem> {
        self.record.violation("delete_permanent", self.list.options.id.as_str());
        let member = self.list.find(key).cloned().ok_or_else(Problem::not_found)?;
        self.list.take(member.web_id);
        self.list.forgotten.insert(subscriber_hash(&member.email_address));
        Ok(removed(&member))
    }
}

fn removed(member: &Member) -> Written {
    Written {
        id: member.id.clone(),
        ems_id: member.journal_id(),
        effect: Effect::Deleted,
        changed: true,
        body: Value::Null,
    }
}
