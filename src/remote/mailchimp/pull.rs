//! Consent that was taken at `MailChimp`, read back (contract, sections 6 and 8).
//!
//! List after list, the members that changed since the last walk: who is unsubscribed, cleaned or archived there, and not by us, is
//! told of. `last_changed` moves with every change, so it does not say when they left, only that they have.
//!
//! A list's cursor is the greatest `last_changed` that the server showed, less an overlap: it is compared strictly and to the second
//! (contract, section 8), and some changes are shown late.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::MailChimp;
use super::member::{Member, Status};
use super::walk::{self, Cursor};
use crate::limits;
use crate::remote::inbound::{ConsentSeen, ConsentState, PullFrom, Pulled, Subject};
use crate::remote::{Failure, FailureClass};

/// The newest change that the server has shown of each list, by list code.
type Newest = BTreeMap<String, Timestamp>;

/// Where a walk stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Position {
    /// The code of the list that is being read.
    list: String,
    at: Cursor,
    /// What has been seen in this walk.
    newest: Newest,
}

impl MailChimp {
    /// One page of one list.
    pub(super) async fn pull_consents(&self, from: &PullFrom) -> Result<Pulled, Failure> {
        let known: Newest = read(from.cursor.as_ref())?.unwrap_or_default();
        let since = |code: &str| if from.full { None } else { known.get(code).copied() };
        let begin = |code: &str, newest: Newest| Position {
            list: code.to_owned(),
            at: Cursor::since(since(code)),
            newest,
        };
        let position: Option<Position> = read(from.position.as_ref())?;
        // A list that the configuration has not any more is not gone on with.
        let position = position.filter(|position| self.lists.contains_key(&position.list));
        let position = position
            .or_else(|| self.lists.keys().next().map(|code| begin(code, Newest::default())));
        let Some(position) = position else { return Ok(Pulled::default()) };
        let Position { list: code, at, mut newest } = position;
        let list = self.lists.get(&code).cloned().unwrap_or_default();
        let answer = self.read(|http| at.request(http, &list)).await?;
        let (members, total) = walk::members(&answer, &list)?;
        let last = members.iter().filter_map(|member| member.last_changed).max();
        newest.extend(last.max(newest.get(&code).copied()).map(|last| (code.clone(), last)));
        let next = at.after(&members, total)?;
        let following = || self.lists.keys().find(|other| **other > code);
        let position = match next {
            Some(at) => Some(Position { list: code.clone(), at, newest: newest.clone() }),
            None => following().map(|other| begin(other, newest.clone())),
        };
        let is_last = position.is_none();
        Ok(Pulled {
            consents: members.iter().filter_map(|member| said(member, &code)).collect(),
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

fn read<T: serde::de::DeserializeOwned>(
    from: Option<&serde_json::Value>,
) -> Result<Option<T>, Failure> {
    let odd =
        |_| Failure::new(FailureClass::OurFault, "Where the walk stands can't be read").unsent();
    from.map(|value| T::deserialize(value).map_err(odd)).transpose()
}

/// Where the next walk begins; a list that showed nothing keeps its place.
fn next_cursor(known: &Newest, seen: &Newest) -> Newest {
    let mut next = known.clone();
    let overlapped = seen.iter().filter_map(|(code, newest)| {
        let newest = newest.checked_sub(limits::PULL_OVERLAP).ok()?;
        Some((code.clone(), newest))
    });
    for (code, newest) in overlapped {
        let place = next.entry(code).or_insert(newest);
        *place = newest.max(*place);
    }
    next
}

/// What a member says that is not of our doing; also that they are not restricted, which makes the next restriction a new one.
fn said(member: &Member, code: &str) -> Option<ConsentSeen> {
    let state = match member.status {
        Status::Unsubscribed | Status::Archived => ConsentState::Unsubscribed,
        Status::Cleaned => ConsentState::Bounced,
        Status::Subscribed | Status::Pending => ConsentState::Lifted,
        Status::Transactional => return None,
    };
    if member.our_mark().is_some() {
        return None;
    }
    let id = member.ems_id.as_ref()?;
    let person = id.parse().ok().filter(|person: &i64| person.to_string() == *id)?;
    let (subject, record) = (Subject::List(code.to_owned()), member.contact_id.clone());
    Some(ConsentSeen { person, subject, record, state, said_on: None })
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
        let state = |member: &Member| said(member, "club").map(|seen| (seen.person, seen.state));
        let left = Some((42, ConsentState::Unsubscribed));
        assert_eq!(state(&member("unsubscribed", "42", "")), left);
        assert_eq!(state(&member("archived", "42", "")), left);
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
        assert_eq!(state(&member("unsubscribed", "", "")), None, "not ours");
        assert_eq!(state(&member("unsubscribed", "042", "")), None, "not ours");
    }

    #[test]
    fn a_cursor_only_goes_on_and_a_quiet_list_keeps_its_place() {
        let at = |second: i64| Timestamp::from_second(1_790_000_000 + second).unwrap();
        let known = Newest::from([("a".to_owned(), at(0)), ("b".to_owned(), at(0))]);
        let seen = Newest::from([("a".to_owned(), at(1_000)), ("c".to_owned(), at(500))]);
        let overlap = i64::try_from(limits::PULL_OVERLAP.as_secs()).unwrap();
        let next = Newest::from([
            ("a".to_owned(), at(1_000 - overlap)),
            ("b".to_owned(), at(0)),
            ("c".to_owned(), at(500 - overlap)),
        ]);
        assert_eq!(next_cursor(&known, &seen), next);
        assert_eq!(
            next_cursor(&next, &Newest::from([("a".to_owned(), at(2))])),
            next,
            "never back"
        );
    }
}
