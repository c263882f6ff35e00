//! The walk over all members of all lists (contract, section 8), brought together by person.
//!
//! Pages go by `last_changed`, which is to the second: the next page begins a second before the last member of this one, and
//! members that come twice count once, the later one. Where more members than a page holds changed in one second, pages
//! overlap by one member; if that one is not where it should be, somebody moved, and the second is begun again. Each call of
//! `list` makes one request, so that a long walk shows progress; its records come when the last list has come to its end.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::super::http::{Answer, Http, Intent, Method, Request};
use super::calls::{Calls, Ended, tags};
use super::member::{Member, Status};
use super::single::{Contacts, remote_id};
use super::wire::{self, Content};
use super::{MailChimp, answer};
use crate::entity::{EntityRef, EntityType};
use crate::limits;
use crate::remote::{Failure, FailureClass, Page, RemoteRecord};

/// What of a member is asked for.
const FIELDS: &str = "list_id,total_items,members.id,members.contact_id,members.email_address,members.status,\
                      members.merge_fields,members.language,members.tags,members.tags_count,members.last_changed";

/// Where the next page of a list begins.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// Members that changed after it, which is to the second.
    since: Option<Timestamp>,
    /// So many of them have been read.
    pub(super) offset: usize,
    /// The last of them, who comes again first.
    pub(super) last: Option<String>,
    /// How often this second was begun again.
    pub(super) tries: u32,
}

impl Cursor {
    /// Begins with the members that changed after `since`; with all of them, if it is `None`.
    pub(super) fn since(since: Option<Timestamp>) -> Self {
        Self { since, ..Self::default() }
    }

    /// Without `only` the archived members may be left out (contract, section 8).
    pub(super) fn request(&self, http: &Http, list: &str, only: Option<Status>) -> Request {
        let count = limits::MAILCHIMP_PAGE_ROWS.to_string();
        let offset = self.offset.to_string();
        // In UTC, so that there is no `+` in it.
        let since = self.since.map(|since| since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        let mut query = vec![
            ("count", count.as_str()),
            ("offset", &offset),
            ("sort_field", "last_changed"),
            ("sort_dir", "ASC"),
            ("fields", FIELDS),
        ];
        query.extend(since.as_deref().map(|since| ("since_last_changed", since)));
        query.extend(only.map(|status| ("status", status.word())));
        http.request(Method::Get, &format!("/lists/{list}/members")).query(&query)
    }

    /// Where to go on after a page; `None` at the end. The page must be what the contract has: neither short nor long nor
    /// unordered.
    pub(super) fn after(self, members: &[Member], total: usize) -> Result<Option<Self>, Failure> {
        let odd = |what: &str| Failure::new(FailureClass::OurFault, format!("The list {what}"));
        let expected = total.saturating_sub(self.offset).min(limits::MAILCHIMP_PAGE_ROWS);
        if members.len() != expected {
            return Err(odd("is shorter or longer than it says"));
        }
        let moments: Option<Vec<Timestamp>> = members.iter().map(|m| m.last_changed).collect();
        let moments = moments.ok_or_else(|| odd("has a member without last_changed"))?;
        let is_after = |moment: &Timestamp| self.since.is_none_or(|since| *moment > since);
        if !moments.is_sorted() || !moments.iter().all(is_after) {
            return Err(odd("ignores its filter or its order"));
        }
        let first = members.first().map(|member| &member.contact_id);
        if self.last.is_some() && self.last.as_ref() != first {
            if self.tries >= limits::MAILCHIMP_PAGE_TRIES {
                let text = "Members change faster than the list can be read";
                return Err(Failure::new(FailureClass::Transient, text));
            }
            return Ok(Some(Self { offset: 0, last: None, tries: self.tries + 1, ..self }));
        }
        let (Some(newest), Some(last)) = (moments.last(), members.last()) else { return Ok(None) };
        if self.offset + members.len() >= total {
            return Ok(None);
        }
        let before = newest.checked_sub(Duration::from_secs(1)).ok();
        if before > self.since {
            return Ok(Some(Self { since: before, ..Self::default() }));
        }
        let offset = self.offset + members.len() - 1;
        Ok(Some(Self { offset, last: Some(last.contact_id.clone()), ..self }))
    }
}

/// The members of a page, and how many there are.
pub(super) fn members(answer: &Answer, list: &str) -> Result<(Vec<Member>, usize), Failure> {
    let json = answer::json(answer, Intent::Read)?;
    let is_it = json.get("list_id").and_then(Value::as_str) == Some(list);
    let total = json.get("total_items").and_then(Value::as_u64).filter(|_| is_it);
    let total = total.and_then(|total| usize::try_from(total).ok());
    let rows = json.get("members").and_then(Value::as_array);
    let members: Option<Vec<Member>> =
        rows.and_then(|rows| rows.iter().map(Member::read).collect());
    let not_a_list =
        || Failure::new(FailureClass::OurFault, "The list is not what the contract has");
    members.zip(total).ok_or_else(not_a_list)
}

/// What a walk keeps of a member; nothing of who is archived.
struct Kept {
    person: Option<i64>,
    content: Content,
}

/// A walk that is under way.
pub(super) struct Walk {
    id: Uuid,
    step: u64,
    /// Code and id of the lists that are left; the first is being read.
    lists: VecDeque<(String, String)>,
    cursor: Cursor,
    /// By contact id, of the list that is being read. `None`: archived since.
    of_list: HashMap<String, Option<Kept>>,
    /// Of the lists that have been read, by person.
    persons: BTreeMap<i64, Vec<Found>>,
    /// Members that carry no EMS id.
    foreign: Vec<Found>,
    members: usize,
}

/// The members of one person, at most one of each list.
#[derive(Default)]
struct Found {
    contacts: Contacts,
    contents: BTreeMap<String, Content>,
}

impl Found {
    fn add(&mut self, code: &str, contact: String, content: Content) {
        self.contacts.insert(code.to_owned(), contact);
        self.contents.insert(code.to_owned(), content);
    }

    fn record(self, person: Option<i64>) -> RemoteRecord {
        let contents = self.contents.iter().map(|(code, content)| (code.as_str(), content));
        RemoteRecord {
            remote_id: remote_id(&self.contacts),
            entity: person.map(|id| EntityRef::new(EntityType::Person, id)),
            wire: wire::wire_of(contents),
        }
    }
}

impl Walk {
    fn new(lists: &BTreeMap<String, String>) -> Self {
        Self {
            id: Uuid::now_v7(),
            step: 0,
            lists: lists.iter().map(|(code, id)| (code.clone(), id.clone())).collect(),
            cursor: Cursor::default(),
            of_list: HashMap::new(),
            persons: BTreeMap::new(),
            foreign: Vec::new(),
            members: 0,
        }
    }

    fn token(&self) -> String {
        format!("{}/{}", self.id, self.step)
    }

    /// Takes in a page of the list that is being read.
    fn take(&mut self, page: Vec<Member>) -> Result<(), Failure> {
        for member in page {
            let person = member.ems_id.as_deref().and_then(|id| id.parse().ok());
            let kept = (!member.is_archived()).then(|| Kept { person, content: member.content() });
            self.of_list.insert(member.contact_id, kept);
        }
        if self.members + self.of_list.len() > limits::MAILCHIMP_WALK_MEMBERS_MAX {
            let text = "The lists have more members than one walk can hold";
            return Err(Failure::new(FailureClass::OurFault, text));
        }
        Ok(())
    }

    /// The list that was being read has come to its end.
    fn end_list(&mut self) {
        self.cursor = Cursor::default();
        let Some((code, _)) = self.lists.pop_front() else { return };
        let mut of_list: Vec<_> = self.of_list.drain().collect();
        of_list.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (contact, kept) in of_list {
            let Some(Kept { person, content }) = kept else { continue };
            self.members += 1;
            let Some(person) = person else {
                let mut found = Found::default();
                found.add(&code, contact, content);
                self.foreign.push(found);
                continue;
            };
            let found = self.persons.entry(person).or_default();
            // A second member of one list is a record of its own.
            let free = found.iter().position(|found| !found.contacts.contains_key(&code));
            let at = free.unwrap_or_else(|| {
                found.push(Found::default());
                found.len() - 1
            });
            if let Some(found) = found.get_mut(at) {
                found.add(&code, contact, content);
            }
        }
    }

    /// Records that have not been handed out yet, a page of them.
    fn records(&mut self) -> Vec<RemoteRecord> {
        let mut records = Vec::new();
        while records.len() < limits::MAILCHIMP_PAGE_ROWS {
            if let Some((person, found)) = self.persons.pop_first() {
                records.extend(found.into_iter().map(|found| found.record(Some(person))));
            } else if let Some(found) = self.foreign.pop() {
                records.push(found.record(None));
            } else {
                break;
            }
        }
        records
    }

    fn is_over(&self) -> bool {
        self.lists.is_empty() && self.persons.is_empty() && self.foreign.is_empty()
    }
}

impl MailChimp {
    /// The next step of the walk: `from` names the one that is under way.
    pub(super) async fn walk_on(&self, from: Option<&str>) -> Result<Page, Failure> {
        let mut slot = self.walk.lock().await;
        let mut walk = match from {
            None => Walk::new(&self.lists),
            Some(token) => match slot.take().filter(|walk| walk.token() == token) {
                Some(walk) => walk,
                None => {
                    let text = "Another walk has begun since: this one is not gone on with";
                    return Err(Failure::new(FailureClass::Transient, text));
                }
            },
        };
        if let Some((_, list)) = walk.lists.front().cloned() {
            let cursor = walk.cursor.clone();
            let answer = self.read(|http| cursor.request(http, &list, None)).await?;
            let (mut page, total) = members(&answer, &list)?;
            let next = cursor.after(&page, total)?;
            for member in page.iter_mut().filter(|member| member.has_more_tags) {
                self.read_tags(&list, member).await?;
            }
            walk.take(page)?;
            match next {
                Some(cursor) => walk.cursor = cursor,
                None => walk.end_list(),
            }
        }
        let records = if walk.lists.is_empty() { walk.records() } else { Vec::new() };
        walk.step += 1;
        let next = (!walk.is_over()).then(|| walk.token());
        *slot = next.is_some().then_some(walk);
        Ok(Page { records, next })
    }

    async fn read_tags(&self, list: &str, member: &mut Member) -> Result<(), Failure> {
        let path = format!("/lists/{list}/members/{}/tags", member.id);
        let count = limits::MAILCHIMP_PAGE_ROWS.to_string();
        let answer =
            self.read(|http| http.request(Method::Get, &path).query(&[("count", &count)])).await?;
        if !answer::is_not_found(&answer) {
            member.tags = tags(&answer)?;
        }
        Ok(())
    }

    /// The contact ids of a list's members who carry a person's EMS id, among those that changed after `since`.
    pub(super) async fn contacts_of(
        &self,
        list: &str,
        calls: &Calls<'_>,
        since: Option<Timestamp>,
    ) -> Result<Vec<String>, Ended> {
        let mut found = Vec::new();
        let mut next = Some(Cursor { since, ..Cursor::default() });
        while let Some(cursor) = next {
            let answer = calls.read(|http| cursor.request(http, list, None)).await?;
            let page = members(&answer, list).map_err(|failure| calls.failed(failure))?;
            let (page, total) = page;
            next = cursor.after(&page, total).map_err(|failure| calls.failed(failure))?;
            for member in page {
                let is_theirs = calls.is_ours(&member) && !member.is_archived();
                if is_theirs && !found.contains(&member.contact_id) {
                    found.push(member.contact_id);
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn member(contact: usize, second: i64) -> Member {
        let last_changed = Timestamp::from_second(1_790_000_000 + second).unwrap();
        Member::read(&json!({"id": format!("h{contact}"), "contact_id": format!("c{contact}"),
            "email_address": "a@club.org", "status": "subscribed", "tags": [], "merge_fields": {},
            "last_changed": last_changed.to_string()}))
        .unwrap()
    }

    /// A list as the API shows it: a page of what is after the cursor.
    fn page(all: &[Member], cursor: &Cursor) -> (Vec<Member>, usize) {
        let after: Vec<Member> = all
            .iter()
            .filter(|m| cursor.since.is_none_or(|s| m.last_changed.unwrap() > s))
            .cloned()
            .collect();
        let rows =
            after.iter().skip(cursor.offset).take(limits::MAILCHIMP_PAGE_ROWS).cloned().collect();
        (rows, after.len())
    }

    fn walked(all: &[Member]) -> std::collections::BTreeSet<String> {
        let mut seen = std::collections::BTreeSet::new();
        let mut next = Some(Cursor::default());
        for _ in 0..1_000 {
            let Some(cursor) = next else { return seen };
            let (rows, total) = page(all, &cursor);
            next = cursor.after(&rows, total).unwrap();
            seen.extend(rows.into_iter().map(|row| row.contact_id));
        }
        panic!("the walk does not end");
    }

    #[test]
    fn every_member_is_seen_however_many_changed_in_one_second() {
        for (n, per_second) in
            [(0, 1), (1, 1), (999, 10), (1_000, 10), (1_001, 1), (3_500, 3_500), (4_000, 1_500)]
        {
            let all: Vec<Member> =
                (0..n).map(|i| member(i, i64::try_from(i / per_second).unwrap())).collect();
            assert_eq!(walked(&all).len(), n, "{n} members, {per_second} a second");
        }
    }

    #[test]
    fn a_member_that_moves_away_within_a_second_hides_nobody() {
        let mut all: Vec<Member> = (0..2_500).map(|i| member(i, 0)).collect();
        let mut seen = std::collections::BTreeSet::new();
        let mut next = Some(Cursor::default());
        let mut pages = 0;
        while let Some(cursor) = next {
            let (rows, total) = page(&all, &cursor);
            next = cursor.after(&rows, total).unwrap();
            seen.extend(rows.into_iter().map(|row| row.contact_id));
            pages += 1;
            if pages == 2 {
                // One that was read moves to the end: all others slip by one.
                let moved = all.remove(3);
                all.push(Member { last_changed: member(0, 5).last_changed, ..moved });
            }
        }
        assert_eq!(seen.len(), 2_500);
    }

    #[test]
    fn a_page_that_is_short_long_or_unordered_is_no_end() {
        let rows = |seconds: &[i64]| -> Vec<Member> {
            seconds.iter().enumerate().map(|(i, s)| member(i, *s)).collect()
        };
        let after = |rows: &[Member], total| Cursor::default().after(rows, total);
        assert_eq!(after(&rows(&[1, 2]), 2), Ok(None));
        assert!(after(&rows(&[1, 2]), 3).is_err());
        assert!(after(&rows(&[1, 2]), 1).is_err());
        assert!(after(&[], 1).is_err());
        assert!(after(&rows(&[2, 1]), 2).is_err());
        let since = Cursor { since: member(0, 5).last_changed, ..Cursor::default() };
        assert!(since.after(&rows(&[5]), 1).is_err(), "the filter was ignored");
    }
}
