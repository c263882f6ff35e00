//! What stands in a member: names, tags, and what we did to them. Without a word about consent.

use serde_json::{Value, json};

use super::super::calls::Ended;
use super::super::member::{EMS_ID, EMS_OUT, EMS_TAGS, FIRST_NAME, LAST_NAME, Member, tag_codes};
use super::super::out::Mark;
use super::super::wire::{Content, tag_key};
use super::OneList;

impl OneList<'_> {
    /// Brings what is there of somebody up to date, without a word about consent.
    pub(super) async fn fields(&self, content: &Content, there: Member) -> Result<Member, Ended> {
        let wanted: Vec<String> = content.tags.iter().map(|tag| tag_key(tag)).collect();
        let ours = there.our_tags();
        let (_, gone): (Vec<String>, Vec<String>) =
            ours.into_iter().partition(|tag| wanted.contains(&tag_key(tag)));
        let mut there = there;
        if !gone.is_empty() {
            // While EMSTAGS still says that they are ours.
            self.calls.post_tags(self.list, &there, &gone, "inactive").await?;
            there.tags.retain(|tag| !gone.contains(tag));
        }
        let mut fields = self.merge_fields(content);
        let is_same = there.first_name == content.first_name
            && there.last_name == content.last_name
            && there.ems_id == content.ems_id
            && there.language == content.language
            && there.tag_codes == tag_codes(&content.tags);
        let out = self.out_text(&there);
        let is_stale = there.is_active() && out.as_ref() != Some(&there.out);
        if !is_same || is_stale {
            if let (Some(out), Some(fields)) = (out, fields.as_object_mut()) {
                fields.insert(EMS_OUT.to_owned(), json!(out));
            }
            let language = content.language.as_deref().unwrap_or("");
            let body = json!({ "merge_fields": fields, "language": language });
            let tags = there.tags.clone();
            let Some(after) = self.calls.patch_all(self.list, &there, &body).await? else {
                return Ok(there);
            };
            there = Member { tags, ..after };
            self.note(&there);
        }
        self.tags(content, there).await
    }

    /// What `EMSOUT` is to be when the member is written anyway: no mark for who is there; for who is out by us, the same mark at the
    /// moment of this write, so that the write itself does not look like somebody else's. `None`: as it is.
    fn out_text(&self, there: &Member) -> Option<String> {
        let mark = there.our_mark().map(|mark| Mark { written: self.calls.server_now(), ..mark });
        let is_written = there.is_active() || mark.is_some();
        is_written.then(|| there.out_kept(self.calls.person, mark).text())
    }

    /// Sets the tags that are missing.
    pub(super) async fn tags(&self, content: &Content, mut there: Member) -> Result<Member, Ended> {
        let has: Vec<String> = there.tags.iter().map(|tag| tag_key(tag)).collect();
        let missing: Vec<String> =
            content.tags.iter().filter(|tag| !has.contains(&tag_key(tag))).cloned().collect();
        if !missing.is_empty() {
            self.calls.post_tags(self.list, &there, &missing, "active").await?;
            there.tags.extend(missing);
        }
        Ok(there)
    }

    /// The merge fields that every member has. Text everywhere; empty text clears (contract, section 4).
    pub(super) fn merge_fields(&self, content: &Content) -> Value {
        json!({
            FIRST_NAME: content.first_name.as_deref().unwrap_or(""),
            LAST_NAME: content.last_name.as_deref().unwrap_or(""),
            EMS_ID: self.calls.ems_id,
            EMS_TAGS: tag_codes(&content.tags),
        })
    }
}
