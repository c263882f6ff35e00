//! A member as a list shows it, and what we write into its non-public merge fields. Pure.
//!
//! - `EMSID`: whose member it is.
//! - `EMSOUT`: what we did to it, and what those said with it who had it before ([`super::out`]).
//! - `EMSTAGS`: which tags are ours, six hexadecimal digits each. Every other tag is left alone.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use md5::{Digest as _, Md5};
use serde_json::{Map, Value};
use sha2::Sha256;

use super::out::{Did, Mark, Out, Said};
use super::wire::{self, Content, Wanted};

/// A list's first and last name fields; ours are never shown in forms.
pub(super) const FIRST_NAME: &str = "FNAME";
pub(super) const LAST_NAME: &str = "LNAME";
pub(super) const EMS_ID: &str = "EMSID";
pub(super) const EMS_OUT: &str = "EMSOUT";
pub(super) const EMS_TAGS: &str = "EMSTAGS";

/// Between reading the server's clock and the end of the write that carries it.
const WRITTEN_WITHIN: Duration = Duration::from_secs(3 * 60);

/// Hexadecimal digits of a tag's code.
const TAG_CODE_CHARS: usize = 6;

/// Tags that a member's body shows at most (contract, section 2, "read tags").
const TAGS_SHOWN: u64 = 50;

/// The id of an address in a list (contract, section 3).
pub(super) fn subscriber_hash(email: &str) -> String {
    hex(&Md5::digest(email.trim().to_lowercase().as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How a member stands in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Status {
    Subscribed,
    Pending,
    Unsubscribed,
    Cleaned,
    Transactional,
    Archived,
}

impl Status {
    pub(super) const ALL: [Self; 6] = [
        Self::Subscribed,
        Self::Pending,
        Self::Unsubscribed,
        Self::Cleaned,
        Self::Transactional,
        Self::Archived,
    ];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Subscribed => "subscribed",
            Self::Pending => "pending",
            Self::Unsubscribed => "unsubscribed",
            Self::Cleaned => "cleaned",
            Self::Transactional => "transactional",
            Self::Archived => "archived",
        }
    }

    fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.word() == word)
    }

    /// Its meaning for the EMS. Archived members are not in the list.
    const fn wanted(self) -> Wanted {
        match self {
            Self::Subscribed => Wanted::Subscribed,
            Self::Pending => Wanted::Pending,
            Self::Unsubscribed | Self::Cleaned | Self::Transactional | Self::Archived => {
                Wanted::Out
            }
        }
    }
}

/// A member.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    /// In paths; the hash of its address, or of its address as it was typed long ago.
    pub(super) id: String,
    /// Stays when the address changes.
    pub(super) contact_id: String,
    pub(super) email: String,
    pub(super) status: Status,
    pub(super) first_name: Option<String>,
    pub(super) last_name: Option<String>,
    pub(super) language: Option<String>,
    /// The EMS id as text; whose member it is.
    pub(super) ems_id: Option<String>,
    /// `EMSOUT`, as it stands there.
    pub(super) out: String,
    /// `EMSTAGS`, as it stands there.
    pub(super) tag_codes: String,
    /// As the list spells them.
    pub(super) tags: Vec<String>,
    /// There are more tags than it shows.
    pub(super) has_more_tags: bool,
    pub(super) last_changed: Option<Timestamp>,
    /// A merge field of ours that the list has not.
    pub(super) lacks_field: Option<&'static str>,
}

impl Member {
    /// The member that an answer shows. `None` when it has not the contract's form.
    pub(super) fn read(row: &Value) -> Option<Self> {
        let row = row.as_object()?;
        let text = |name: &str| row.get(name)?.as_str();
        let fields = row.get("merge_fields")?.as_object()?;
        let optional = |name: &str| Some(field(fields, name)).filter(|text| !text.is_empty());
        let tags = row.get("tags").and_then(Value::as_array)?;
        let tags: Option<Vec<String>> =
            tags.iter().map(|tag| Some(tag.get("name")?.as_str()?.to_owned())).collect();
        let tags = tags?;
        let count = row.get("tags_count").and_then(Value::as_u64).unwrap_or(0);
        let shown = u64::try_from(tags.len()).unwrap_or(u64::MAX);
        let is_name = |id: &&str| !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric());
        let ours = [FIRST_NAME, LAST_NAME, EMS_ID, EMS_OUT, EMS_TAGS];
        Some(Self {
            id: text("id").filter(is_name)?.to_owned(),
            contact_id: text("contact_id").filter(is_name)?.to_owned(),
            email: wire::email(text("email_address")?),
            status: Status::of(text("status")?)?,
            first_name: optional(FIRST_NAME),
            last_name: optional(LAST_NAME),
            language: text("language").and_then(wire::language),
            ems_id: optional(EMS_ID),
            out: field(fields, EMS_OUT),
            tag_codes: field(fields, EMS_TAGS),
            has_more_tags: count > shown || shown >= TAGS_SHOWN,
            tags,
            // What is not set is empty text.
            last_changed: text("last_changed").and_then(|moment| moment.parse().ok()),
            lacks_field: ours.into_iter().find(|name| !fields.contains_key(*name)),
        })
    }

    pub(super) fn is_archived(&self) -> bool {
        self.status == Status::Archived
    }

    /// Whoever has it may get mail by it, or is asked whether they want it.
    pub(super) const fn is_active(&self) -> bool {
        matches!(self.status, Status::Subscribed | Status::Pending | Status::Transactional)
    }

    /// Whoever has it wants mail by it: they are beyond being asked.
    const fn is_confirmed(&self) -> bool {
        matches!(self.status, Status::Subscribed | Status::Transactional)
    }

    /// `EMSOUT`.
    pub(super) fn out(&self) -> Out {
        Out::read(&self.out)
    }

    /// What we did to it, if that is how it still stands: nobody did anything to it since.
    pub(super) fn our_mark(&self) -> Option<Mark> {
        let mark = self.out().mark?;
        let is_its_status = match mark.did {
            Did::Unsubscribe | Did::UnsubscribeMoved => self.status == Status::Unsubscribed,
            Did::Archive | Did::ArchiveLeft => self.status == Status::Archived,
        };
        let until = mark.written.checked_add(WRITTEN_WITHIN).ok()?;
        (is_its_status && self.last_changed? <= until).then_some(mark)
    }

    /// What whoever has it has said of mail with it, or said before they got it.
    pub(super) fn said(&self) -> Said {
        let before = self.person().and_then(|person| self.out().said(person));
        match before.filter(|_| !self.is_confirmed()) {
            Some(before) => before.and(self.said_by_status()),
            None => self.said_by_status(),
        }
    }

    fn said_by_status(&self) -> Said {
        match self.status {
            Status::Subscribed | Status::Pending | Status::Transactional => Said::Nothing,
            Status::Cleaned => Said::Bounced,
            Status::Unsubscribed | Status::Archived => {
                self.our_mark().map_or(Said::Left, |mark| mark.said())
            }
        }
    }

    /// The EMS id that it carries, if that is one: a foreign system may have written there.
    pub(super) fn person(&self) -> Option<i64> {
        let text = self.ems_id.as_ref()?;
        text.parse().ok().filter(|person: &i64| person.to_string() == *text)
    }

    /// `EMSOUT` for a write that takes their EMS id off, or leaves the member as it stands: what they have said is kept, and so is our
    /// mark, at the moment of this write, so that the write itself does not look like somebody else's.
    pub(super) fn out_handed_on(&self, written: Timestamp) -> Out {
        // Whom we took out, and who is there again, may be the next one at that address.
        let taken_out = self.out().mark.filter(|_| self.is_active()).map(Mark::said);
        let said = self.said().and(taken_out.unwrap_or(Said::Nothing));
        let mark = self.our_mark().map(|mark| Mark { written, ..mark });
        let out = self.out().marked(mark);
        match self.person() {
            Some(person) => out.with(person, said),
            None => out,
        }
    }

    /// `EMSOUT` for a write by which this person has the member, or keeps it. What they had said when they had it before is over
    /// once they are there, and not only asked.
    pub(super) fn out_kept(&self, person: i64, mark: Option<Mark>) -> Out {
        let out = self.out().marked(mark);
        let is_there = self.is_confirmed() && self.person() == Some(person);
        if is_there { out.without(person) } else { out }
    }

    /// The mark of the archival that takes whoever has it out of the list. Only what is no word of theirs may be taken back.
    pub(super) fn lapse_mark(&self, written: Timestamp) -> Mark {
        // Who opted out with another address did not with this one.
        let has_moved = self.our_mark().is_some_and(|mark| mark.did == Did::UnsubscribeMoved);
        let (did, opt_out) = match self.said() {
            Said::Left | Said::Bounced => (Did::ArchiveLeft, None),
            Said::OptedOut(opt_out) if !has_moved => (Did::Archive, Some(opt_out)),
            Said::OptedOut(_) | Said::Nothing => (Did::Archive, None),
        };
        Mark { did, written, opt_out }
    }

    /// The tags that are ours.
    pub(super) fn our_tags(&self) -> Vec<String> {
        let codes = codes(&self.tag_codes);
        let is_ours = |tag: &&String| codes.contains(&tag_code(tag));
        self.tags.iter().filter(is_ours).cloned().collect()
    }

    /// What it holds, in the words of what it should hold.
    pub(super) fn content(&self) -> Content {
        Content {
            email: self.email.clone(),
            first_name: self.first_name.clone(),
            last_name: self.last_name.clone(),
            ems_id: self.ems_id.clone(),
            language: self.language.clone(),
            tags: self.our_tags(),
            wanted: self.status.wanted(),
            since: None,
        }
    }
}

/// A merge field as text: numbers come as numbers where the field's type is one.
fn field(fields: &Map<String, Value>, name: &str) -> String {
    match fields.get(name) {
        Some(Value::String(text)) => wire::text(text),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => {
            String::new()
        }
    }
}

/// The code of a tag in `EMSTAGS`.
fn tag_code(tag: &str) -> String {
    let digest = hex(&Sha256::digest(wire::tag_key(tag).as_bytes()));
    digest.chars().take(TAG_CODE_CHARS).collect()
}

/// `EMSTAGS` for these tags.
pub(super) fn tag_codes(tags: &[String]) -> String {
    let codes: BTreeSet<String> = tags.iter().map(|tag| tag_code(tag)).collect();
    codes.into_iter().collect()
}

/// The codes that stand in `EMSTAGS`.
fn codes(text: &str) -> BTreeSet<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(TAG_CODE_CHARS).map(|chunk| chunk.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::limits;

    /// Text fields of a list take 255 characters.
    const _: () = assert!(limits::MAILCHIMP_TAGS_MAX * TAG_CODE_CHARS <= 255);

    pub(crate) fn row() -> Value {
        json!({"id": "62eeb292278cc15f5817cb78f7790b08", "contact_id": "c1", "email_address": "A@club.org",
            "status": "unsubscribed", "language": "", "last_changed": "2026-11-25T07:00:01+00:00", "tags_count": 2,
            "tags": [{"id": 1, "name": "trail"}, {"id": 2, "name": "foreign"}],
            "merge_fields": {"FNAME": "Thandi", "LNAME": "", "EMSID": "42", "EMSTAGS": tag_codes(&["Trail".to_owned()]),
                "EMSOUT": "2026-11-25T07:00:00Z unsubscribed 2026-11-25T06:00:00Z"}})
    }

    #[test]
    fn the_hash_is_that_of_the_documentation() {
        let hash = subscriber_hash("Urist.McVankab@freddiesjokes.com");
        assert_eq!(hash, "62eeb292278cc15f5817cb78f7790b08");
    }

    #[test]
    fn a_member_is_read_with_its_traps() {
        let member = Member::read(&row()).unwrap();
        assert_eq!((member.email.as_str(), member.language.as_deref()), ("a@club.org", None));
        assert_eq!((member.last_name.as_deref(), member.lacks_field), (None, None));
        assert_eq!(member.our_tags(), ["trail"], "a foreign tag is not ours");
        let mut number = row();
        number["merge_fields"]["EMSID"] = json!(42);
        number["last_changed"] = json!("");
        let member = Member::read(&number).unwrap();
        assert_eq!((member.ems_id.as_deref(), member.last_changed), (Some("42"), None));
        for name in ["id", "contact_id", "email_address", "status", "merge_fields", "tags"] {
            let mut odd = row();
            odd.as_object_mut().unwrap().remove(name);
            assert_eq!(Member::read(&odd), None, "{name}");
        }
        let mut lacking = row();
        lacking["merge_fields"].as_object_mut().unwrap().remove(EMS_OUT);
        assert_eq!(Member::read(&lacking).unwrap().lacks_field, Some(EMS_OUT));
    }

    #[test]
    fn a_mark_counts_only_while_nobody_else_did_anything() {
        assert!(Member::read(&row()).unwrap().our_mark().is_some());
        for (name, value) in [
            ("last_changed", "2026-11-25T07:03:01+00:00"),
            ("last_changed", ""),
            ("status", "archived"),
            ("status", "subscribed"),
            ("status", "cleaned"),
        ] {
            let mut other = row();
            other[name] = json!(value);
            assert_eq!(Member::read(&other).unwrap().our_mark(), None, "{name} {value}");
        }
    }

    /// Every status with every mark, fresh and overtaken.
    #[test]
    fn what_they_said_is_told_by_status_and_mark() {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let written = at("2026-11-25T07:00:00Z");
        let opt_out = at("2026-11-25T06:00:00Z");
        let marks = [
            None,
            Some((Did::Unsubscribe, Some(opt_out))),
            Some((Did::UnsubscribeMoved, Some(opt_out))),
            Some((Did::Unsubscribe, None)),
            Some((Did::Archive, None)),
            Some((Did::Archive, Some(opt_out))),
            Some((Did::ArchiveLeft, None)),
        ];
        for status in Status::ALL {
            for mark in marks {
                for is_fresh in [true, false] {
                    let mark = mark.map(|(did, opt_out)| Mark { did, written, opt_out });
                    let mut row = row();
                    row["status"] = json!(status.word());
                    row["last_changed"] = json!(if is_fresh {
                        "2026-11-25T07:00:01Z"
                    } else {
                        "2026-11-25T08:00:00Z"
                    });
                    row["merge_fields"]["EMSOUT"] = json!(Out::default().marked(mark).text());
                    let member = Member::read(&row).unwrap();
                    let fits = |did: Did| match did {
                        Did::Unsubscribe | Did::UnsubscribeMoved => status == Status::Unsubscribed,
                        Did::Archive | Did::ArchiveLeft => status == Status::Archived,
                    };
                    let said = match (status, mark.filter(|mark| is_fresh && fits(mark.did))) {
                        (Status::Subscribed | Status::Pending | Status::Transactional, _) => {
                            Said::Nothing
                        }
                        (Status::Cleaned, _) => Said::Bounced,
                        (_, Some(Mark { opt_out: Some(opt_out), .. })) => Said::OptedOut(opt_out),
                        (_, Some(Mark { did: Did::Archive, .. })) => Said::Nothing,
                        _ => Said::Left,
                    };
                    assert_eq!(member.said(), said, "{status:?} {mark:?} {is_fresh}");
                    // Whoever gets the member finds it written down, also where somebody has subscribed since, and a lapse forgets
                    // no leaving.
                    let is_there = matches!(
                        status,
                        Status::Subscribed | Status::Pending | Status::Transactional
                    );
                    let before = mark.filter(|_| is_there).map_or(Said::Nothing, |mark| match mark
                        .opt_out
                    {
                        Some(opt_out) => Said::OptedOut(opt_out),
                        None if mark.did == Did::Archive => Said::Nothing,
                        None => Said::Left,
                    });
                    let handed = member.out_handed_on(written);
                    assert_eq!(handed.said(42), Some(said.and(before)));
                    let lapsed = member.lapse_mark(written);
                    let never = lapsed.did == Did::ArchiveLeft;
                    assert_eq!(
                        never,
                        matches!(said, Said::Left | Said::Bounced),
                        "{status:?} {mark:?} {is_fresh}"
                    );
                }
            }
        }
    }

    /// Who is asked has not said yes: what they said before they had it, or had it again, still holds.
    #[test]
    fn a_word_of_before_is_over_once_they_are_there_and_not_only_asked() {
        for status in Status::ALL {
            let mut row = row();
            row["status"] = json!(status.word());
            row["merge_fields"]["EMSOUT"] = json!("former 42:left");
            let member = Member::read(&row).unwrap();
            let is_over = matches!(status, Status::Subscribed | Status::Transactional);
            assert_eq!(member.said() == Said::Nothing, is_over, "{status:?}");
            assert_eq!(member.out_kept(42, None).said(42).is_none(), is_over, "{status:?}");
        }
    }

    proptest! {
        #[test]
        fn reading_is_total(text in any::<String>(), n in any::<i64>()) {
            codes(&text);
            for value in [json!(text), json!(n), json!([text]), json!({"FNAME": n, "EMSOUT": text}), Value::Null] {
                let mut odd = row();
                odd["merge_fields"] = value.clone();
                odd["tags"] = json!([value]);
                Member::read(&odd);
                odd["tags"] = json!([]);
                odd["language"] = value.clone();
                odd["last_changed"] = value.clone();
                if let Some(member) = Member::read(&odd) {
                    member.our_mark();
                    member.content();
                }
                Member::read(&value);
            }
        }
    }
}
