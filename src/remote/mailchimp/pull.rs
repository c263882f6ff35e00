//! Consent that was taken at `MailChimp`, read back (contract, sections 6 and 8).
//!
//! List after list, the members that changed since the last walk, then those of them who are archived, whom a list shows only when it
//! is asked for them: who is unsubscribed, cleaned or archived there, and not by us, is told of. An archival by people is a decision
//! about consent (design, section 6): nobody gets mail by it, and an unsubscription before it is not shown any more.
//! `last_changed` moves with every change, so it does not say when they left, only that they have.
//!
//! A part's cursor is the greatest `last_changed` that the server showed, less an overlap: it is compared strictly and to the second
//! (contract, section 8), and some changes are shown late.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::MailChimp;
use super::member::{Member, Status};
use super::out::{Did, Former, Mark, Said};
use super::walk::{self, Cursor};
use crate::limits;
use crate::remote::Failure;
use crate::remote::inbound::{ConsentSeen, ConsentState, PullFrom, Pulled, Subject};

/// What of a list is read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Members,
    Archived,
}

impl Part {
    const fn only(self) -> Option<Status> {
        match self {
            Self::Members => None,
            Self::Archived => Some(Status::Archived),
        }
    }
}

/// The newest change that the server has shown, by part and list code. Each part has its own: while one is read the others change.
type Newest = BTreeMap<Part, BTreeMap<String, Timestamp>>;

/// Where a walk stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    part: Part,
    /// The code of the list that is being read.
    list: String,
    at: Cursor,
    /// What has been seen in this walk.
    newest: Newest,
}

impl MailChimp {
    /// One page of one list.
    pub(super) async fn pull_consents(&self, from: &PullFrom) -> Result<Pulled, Failure> {
        let known: Newest = read(from.cursor.as_ref()).unwrap_or_default();
        let newest_of =
            |newest: &Newest, part: Part, code: &str| newest.get(&part)?.get(code).copied();
        let begin = |part: Part, code: &str, newest: Newest| {
            let since = if from.full { None } else { newest_of(&known, part, code) };
            Position { part, list: code.to_owned(), at: Cursor::since(since), newest }
        };
        let position: Option<Position> = read(from.position.as_ref());
        // A list that the configuration has not any more is not gone on with.
        let position = position.filter(|position| self.lists.contains_key(&position.list));
        let first = self.lists.keys().next();
        let position = position.or_else(|| Some(begin(Part::Members, first?, Newest::default())));
        let Some(position) = position else { return Ok(Pulled::default()) };
        let Position { part, list: code, at, mut newest } = position;
        let list = self.lists.get(&code).cloned().unwrap_or_default();
        let answer = self.read(|http| at.request(http, &list, part.only())).await?;
        let (members, total) = walk::members(&answer, &list)?;
        let last = members.iter().filter_map(|member| member.last_changed).max();
        if let Some(last) = last.max(newest_of(&newest, part, &code)) {
            newest.entry(part).or_default().insert(code.clone(), last);
        }
        let position = match (at.after(&members, total)?, part) {
            (Some(at), _) => {
                Some(Position { part, list: code.clone(), at, newest: newest.clone() })
            }
            (None, Part::Members) => Some(begin(Part::Archived, &code, newest.clone())),
            (None, Part::Archived) => {
                let following = self.lists.keys().find(|other| **other > code);
                following.map(|other| begin(Part::Members, other, newest.clone()))
            }
        };
        let is_last = position.is_none();
        Ok(Pulled {
            consents: members.iter().flat_map(|member| said(member, &code)).collect(),
            position: position.and_then(|position| serde_json::to_value(position).ok()),
            cursor: if is_last {
                serde_json::to_value(next_cursor(&known, &newest)).ok()
            } else {
                None
            },
            server_time: answer.date(),
            ..Pulled::default()
        })
    }
}

/// What an earlier version kept of a walk is as if it were not there: everything is read anew.
fn read<T: serde::de::DeserializeOwned>(from: Option<&serde_json::Value>) -> Option<T> {
    T::deserialize(from?).ok()
}

/// Where the next walk begins; a part that showed nothing keeps its place.
fn next_cursor(known: &Newest, seen: &Newest) -> Newest {
    let mut next = known.clone();
    let seen =
        seen.iter().flat_map(|(part, of)| of.iter().map(move |(code, at)| (*part, code, at)));
    for (part, code, newest) in seen {
        let Ok(newest) = newest.checked_sub(limits::PULL_OVERLAP) else { continue };
        let place = next.entry(part).or_default().entry(code.clone()).or_insert(newest);
        *place = newest.max(*place);
    }
    next
}

/// What a member says that is not of our doing; also that they are not restricted, which makes the next restriction a new one. And of
/// whom it says that they left before another one had it: whichever was read first, the leaving or the other one.
fn said(member: &Member, code: &str) -> Vec<ConsentSeen> {
    let seen = |person: i64, state: ConsentState, at_latest: Option<Timestamp>| ConsentSeen {
        person,
        subject: Subject::List(code.to_owned()),
        record: member.contact_id.clone(),
        state,
        said_on: None,
        at_latest,
    };
    // Hardly anything changes a member any more who is archived, or is another one's.
    let by_then = member.last_changed;
    let of_owner = member.person().and_then(|person| match (member.status, member.our_mark()) {
        // Whom we archived had left before: it is still the same restriction.
        (_, Some(Mark { did: Did::ArchiveLeft, .. })) => {
            Some(seen(person, ConsentState::Unsubscribed, by_then))
        }
        (_, Some(_)) | (Status::Transactional, None) => None,
        (Status::Unsubscribed, None) => Some(seen(person, ConsentState::Unsubscribed, None)),
        (Status::Archived, None) => Some(seen(person, ConsentState::Archived, by_then)),
        (Status::Cleaned, None) => Some(seen(person, ConsentState::Bounced, None)),
        (Status::Subscribed | Status::Pending, None) => {
            Some(seen(person, ConsentState::Lifted, None))
        }
    });
    let former = member.out().former.into_iter().filter_map(|Former { person, said }| {
        let state = match said {
            Said::Left => ConsentState::Unsubscribed,
            Said::Bounced => ConsentState::Bounced,
            Said::Nothing | Said::OptedOut(_) => return None,
        };
        (Some(person) != member.person()).then(|| seen(person, state, by_then))
    });
    of_owner.into_iter().chain(former).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn member(status: &str, ems_id: &str, out: &str) -> Member {
        Member::read(&json!({"id": "a", "contact_id": "c", "email_address": "a@club.org", "status": status, "tags": [],
            "last_changed": "2026-11-25T07:00:01+00:00", "merge_fields": {"EMSID": ems_id, "EMSOUT": out}}))
        .unwrap()
    }

    #[test]
    fn who_left_or_bounced_is_told_of_unless_we_did_it() {
        let state = |member: &Member| match &*said(member, "club") {
            [] => None,
            [seen] => Some((seen.person, seen.state)),
            several => panic!("{several:?}"),
        };
        let left = Some((42, ConsentState::Unsubscribed));
        assert_eq!(state(&member("unsubscribed", "42", "")), left);
        assert_eq!(state(&member("archived", "42", "")), Some((42, ConsentState::Archived)));
        assert_eq!(state(&member("cleaned", "42", "")), Some((42, ConsentState::Bounced)));
        for status in ["subscribed", "pending"] {
            let lifted = Some((42, ConsentState::Lifted));
            assert_eq!(state(&member(status, "42", "")), lifted, "{status}");
        }
        assert_eq!(state(&member("transactional", "42", "")), None);
        assert_eq!(
            state(&member("unsubscribed", "42", "2026-11-25T07:00:00Z unsubscribed -")),
            None,
            "we did it"
        );
        assert_eq!(
            state(&member("unsubscribed", "42", "2026-11-25T06:00:00Z unsubscribed -")),
            left,
            "they did it later"
        );
        for out in ["archived -", "archived 2026-11-25T06:00:00Z"] {
            let out = format!("2026-11-25T07:00:00Z {out}");
            assert_eq!(state(&member("archived", "42", &out)), None, "we did it");
        }
        assert_eq!(
            state(&member("archived", "42", "2026-11-25T07:00:00Z archived-left -")),
            left,
            "we archived them, and they had left before"
        );
        assert_eq!(state(&member("unsubscribed", "", "")), None, "not ours");
        assert_eq!(state(&member("unsubscribed", "042", "")), None, "not ours");
    }

    #[test]
    fn who_left_before_another_one_had_the_member_is_told_of_too() {
        let told = |out: &str| -> Vec<(i64, ConsentState)> {
            said(&member("subscribed", "50", out), "club")
                .iter()
                .map(|seen| (seen.person, seen.state))
                .collect()
        };
        let lifted = (50, ConsentState::Lifted);
        assert_eq!(
            told("former 42:left 43:none 44:out@1 45:bounced"),
            [lifted, (42, ConsentState::Unsubscribed), (45, ConsentState::Bounced)]
        );
        assert_eq!(told("former 50:left"), [lifted], "they are there again");
    }

    /// An archival is dated by the member's last change, so that a later opt-in in the EMS is not reverted when it is read for the first
    /// time; an unsubscription by when it is seen, since the member may change after it.
    #[test]
    fn what_changes_no_more_is_dated_by_its_last_change() {
        for (status, out, is_dated) in [
            ("archived", "", true),
            ("archived", "2026-11-25T07:00:00Z archived-left -", true),
            ("unsubscribed", "", false),
            ("cleaned", "", false),
        ] {
            let member = member(status, "42", out);
            let at_latest = member.last_changed.filter(|_| is_dated);
            let seen = said(&member, "club");
            assert_eq!(
                seen.iter().map(|seen| seen.at_latest).collect::<Vec<_>>(),
                [at_latest],
                "{status} {out}"
            );
        }
    }

    #[test]
    fn a_cursor_only_goes_on_and_a_quiet_list_keeps_its_place() {
        let at = |second: i64| Timestamp::from_second(1_790_000_000 + second).unwrap();
        let of = |lists: &[(&str, i64)]| -> BTreeMap<String, Timestamp> {
            lists.iter().map(|(code, second)| ((*code).to_owned(), at(*second))).collect()
        };
        let known = Newest::from([(Part::Members, of(&[("a", 0), ("b", 0)]))]);
        let seen = Newest::from([
            (Part::Members, of(&[("a", 1_000), ("c", 500)])),
            (Part::Archived, of(&[("a", 700)])),
        ]);
        let overlap = i64::try_from(limits::PULL_OVERLAP.as_secs()).unwrap();
        let next = Newest::from([
            (Part::Members, of(&[("a", 1_000 - overlap), ("b", 0), ("c", 500 - overlap)])),
            (Part::Archived, of(&[("a", 700 - overlap)])),
        ]);
        assert_eq!(next_cursor(&known, &seen), next);
        let older = Newest::from([(Part::Members, of(&[("a", 2)]))]);
        assert_eq!(next_cursor(&next, &older), next, "never back");
    }
}
