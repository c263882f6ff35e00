//! What comes back from Chatwoot: contacts, and the metadata of conversations.
//!
//! Of contacts nothing tells what has changed (contract, section 0.1): they are walked whole, each time, in the order in which
//! they were made, and hashes decide. Conversations are asked for by a window that the server measures by its own clock;
//! after too long, or for a full walk, they are walked page by page. Either way our clock plays no part.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::http::{Answer, Http, Intent, Method};
use super::answer::{self, Contacts, Conversations};
use super::contact::Contact;
use super::conversation::Conversation;
use super::walk::{Next, Tally, Walk};
use super::{Chatwoot, Request, no_lease};
use crate::entity::EntityType;
use crate::limits;
use crate::remote::inbound::{PullFrom, Pulled, Shape, Snapshot, Stream};
use crate::remote::{Failure, FailureClass};

/// Where a walk over the contacts stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ContactsPlace {
    walk: Walk,
    /// The contacts of the page that was read last, sorted.
    before: Vec<i64>,
    /// When the last of them was made, in seconds.
    created_at: Option<i64>,
    /// `None` when the walk can prove nothing any more.
    tally: Option<Tally>,
}

/// Where a walk over the conversations stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ConversationsPlace {
    walk: Walk,
    /// The server's clock when it began.
    began: Option<Timestamp>,
}

/// Where a walk over the conversations has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Cursor {
    /// The server's clock when it began.
    server_time: Timestamp,
}

impl Chatwoot {
    pub(super) async fn pull_page(
        &self,
        stream: Stream,
        from: &PullFrom,
    ) -> Result<Pulled, Failure> {
        match stream {
            Stream::Contacts => self.pull_contacts(from).await,
            Stream::Conversations => self.pull_conversations(from).await,
            Stream::Races | Stream::Registrations | Stream::Consents => {
                Err(our_fault("Chatwoot has no such stream"))
            }
        }
    }

    /// One contact, by its id. Merged and deleted look alike.
    pub(super) async fn read_contact(&self, remote_id: &str) -> Result<Snapshot, Failure> {
        let id = remote_id.parse().map_err(|_| our_fault("The id is none of a contact"))?;
        let answer = self.ask_for(|http| self.contact_request(http, id)).await?;
        Ok(match answer::contact_or_none(&answer, id)? {
            Some(contact) => contact.into_snapshot(),
            None => Snapshot {
                entity_type: EntityType::Person,
                remote_id: remote_id.to_owned(),
                entity: None,
                shape: Shape::Gone,
                modified_on: None,
                parents: Vec::new(),
            },
        })
    }

    /// A page of all contacts. A position that can't be read is one of another version: the walk begins anew.
    async fn pull_contacts(&self, from: &PullFrom) -> Result<Pulled, Failure> {
        let place = from.position.as_ref().and_then(|at| ContactsPlace::deserialize(at).ok());
        let place = place.unwrap_or_else(ContactsPlace::new);
        let answer = self.ask_for(|http| self.contacts_request(http, place.walk.page)).await?;
        let contacts = answer::contacts_walked(&answer)?;
        let server_time = answer.date();
        let step = place.step(contacts, server_time)?;
        Ok(Pulled {
            consents: step.shown.iter().flat_map(Contact::consents).collect(),
            snapshots: step
                .shown
                .into_iter()
                .map(Contact::into_snapshot)
                .chain(step.odd.into_iter().map(unreadable_contact))
                .collect(),
            position: step.next.map(|place| json!(place)),
            cursor: None,
            shows_all: step.shows_all,
            server_time,
        })
    }

    /// What has changed since the cursor, or a page of all.
    async fn pull_conversations(&self, from: &PullFrom) -> Result<Pulled, Failure> {
        let place = from.position.as_ref().and_then(|at| ConversationsPlace::deserialize(at).ok());
        if let Some(place) = place {
            return self.conversations_page(place).await;
        }
        let cursor = from.cursor.as_ref().and_then(|at| Cursor::deserialize(at).ok());
        if let Some(cursor) = cursor.filter(|_| !from.full)
            && let Some(pulled) = self.conversations_since(cursor.server_time).await?
        {
            return Ok(pulled);
        }
        let walk = Walk::new(None);
        self.conversations_page(ConversationsPlace { walk, began: None }).await
    }

    /// All conversations that have changed since a moment of the server's clock. How long ago that is, only an answer tells, so
    /// it is asked for what a walk in time needs; if that was too little, for more. `None` when no window will do.
    async fn conversations_since(&self, since: Timestamp) -> Result<Option<Pulled>, Failure> {
        let mut window = limits::CHATWOOT_WINDOW_MIN;
        loop {
            let seconds = window.as_secs().to_string();
            let answer = self
                .conversations_answer(&[("status", "all"), ("updated_within", &seconds)])
                .await?;
            let conversations = answer::conversations(&answer)?;
            let Some(now) = answer.date() else { return Ok(None) };
            match window_for(since, now) {
                Some(needed) if needed <= window => {
                    return Ok(Some(Pulled {
                        snapshots: snapshots(conversations),
                        cursor: Some(json!(Cursor { server_time: now })),
                        server_time: Some(now),
                        ..Pulled::default()
                    }));
                }
                // A second one is large enough, unless the server's clock jumps.
                Some(needed) if window == limits::CHATWOOT_WINDOW_MIN => {
                    window = needed + limits::CHATWOOT_OVERLAP;
                }
                Some(_) | None => return Ok(None),
            }
        }
    }

    /// A page of all conversations, those that something happened to last first: what something happens to meanwhile moves to
    /// pages that were read, and is in the next window.
    async fn conversations_page(&self, place: ConversationsPlace) -> Result<Pulled, Failure> {
        let page = place.walk.page.to_string();
        let query = [
            ("status", "all"),
            ("assignee_type", "all"),
            ("page", &page),
            ("sort_by", "last_activity_at_desc"),
        ];
        let answer = self.conversations_answer(&query).await?;
        let conversations = answer::conversations(&answer)?;
        let server_time = answer.date();
        let began = if place.walk.page == 1 { server_time } else { place.began };
        let position = match place.walk.after(conversations.len(), conversations.count)? {
            Next::Page(walk) | Next::Back(walk) => Some(ConversationsPlace { walk, began }),
            Next::End => None,
        };
        let cursor = began.filter(|_| position.is_none());
        Ok(Pulled {
            snapshots: snapshots(conversations),
            position: position.map(|place| json!(place)),
            cursor: cursor.map(|server_time| json!(Cursor { server_time })),
            server_time,
            ..Pulled::default()
        })
    }

    async fn conversations_answer(&self, query: &[(&str, &str)]) -> Result<Answer, Failure> {
        let path = self.path("/conversations");
        self.ask_for(|http| http.request(Method::Get, &path).query(query)).await
    }

    /// Asks for something that nobody holds a lease of.
    pub(super) async fn ask_for(
        &self,
        build: impl Fn(&Http) -> Request + Send + Sync,
    ) -> Result<Answer, Failure> {
        let answer = self.call(Intent::Read, &no_lease(), build).await?;
        answer.ok_or_else(|| self.not_sent())
    }
}

/// What a page of contacts comes to.
struct Step {
    /// Those that the page before it has not shown.
    shown: Vec<Contact>,
    /// Those of them that can't be read.
    odd: Vec<i64>,
    next: Option<ContactsPlace>,
    shows_all: bool,
}

impl ContactsPlace {
    const fn new() -> Self {
        let walk = Walk::new(Some(limits::CHATWOOT_PAGE_ROWS));
        Self { walk, before: Vec::new(), created_at: None, tally: None }
    }

    fn step(self, contacts: Contacts, now: Option<Timestamp>) -> Result<Step, Failure> {
        let Contacts { rows, odd: unreadable, count, .. } = contacts;
        let next = self.walk.after(rows.len() + unreadable.len(), count)?;
        let created_at = in_order(&rows, self.created_at)?;
        let mut tally = match now {
            Some(now) if self.walk.page == 1 => Some(Tally::new(now.as_second(), count)),
            _ => self.tally,
        };
        let ids = rows.iter().map(|contact| contact.id);
        let mut before: Vec<i64> = ids.chain(unreadable.iter().copied()).collect();
        before.sort_unstable();
        if before.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(odd("The list shows a contact twice"));
        }
        let is_new = |id: &i64| self.before.binary_search(id).is_err();
        let shown: Vec<Contact> = rows.into_iter().filter(|contact| is_new(&contact.id)).collect();
        let unreadable: Vec<i64> = unreadable.into_iter().filter(is_new).collect();
        if let Some(tally) = &mut tally {
            shown.iter().for_each(|contact| tally.show(contact.created_at.unwrap_or(i64::MIN)));
            unreadable.iter().for_each(|_| tally.show(i64::MIN));
        }
        let (next, shows_all) = match next {
            Next::Page(walk) => (Some(Self { walk, before, created_at, tally }), false),
            // What has gone can't be told from what was missed.
            Next::Back(walk) => {
                (Some(Self { walk, before: Vec::new(), created_at: None, tally: None }), false)
            }
            Next::End => (None, tally.is_some_and(|tally| tally.proves_all(count))),
        };
        Ok(Step { shown, odd: unreadable, next, shows_all })
    }
}

/// When the last of these was made, if they are in order and come after `from`. Contacts of one second come in any order, and one
/// that does not say when it was made stops no other.
fn in_order(rows: &[Contact], from: Option<i64>) -> Result<Option<i64>, Failure> {
    rows.iter().try_fold(from, |last, contact| match contact.created_at {
        Some(at) if last.is_none_or(|last| at >= last) => Ok(Some(at)),
        Some(_) => Err(odd("The list ignores its order")),
        None => Ok(last),
    })
}

/// The window that reaches back to `since` and some way beyond, where both are of the server's clock. `None` if it would be too
/// large, or the clock was set back.
fn window_for(since: Timestamp, now: Timestamp) -> Option<Duration> {
    let overlap = limits::CHATWOOT_OVERLAP;
    let window = now.duration_since(since) + SignedDuration::try_from(overlap).ok()?;
    Duration::try_from(window).ok().filter(|window| *window <= limits::CHATWOOT_WINDOW_MAX)
}

fn snapshots(conversations: Conversations) -> Vec<Snapshot> {
    let unreadable = |key| Snapshot::unreadable(EntityType::Conversation, key, ODD_ROW);
    let read = conversations.rows.into_iter().map(Conversation::into_snapshot);
    read.chain(conversations.odd.into_iter().map(unreadable)).collect()
}

fn unreadable_contact(id: i64) -> Snapshot {
    Snapshot::unreadable(EntityType::Person, id.to_string(), ODD_ROW)
}

const ODD_ROW: &str = "Something of it has not the contract's form: look at it in Chatwoot";

fn odd(text: &str) -> Failure {
    Failure::new(FailureClass::Transient, text)
}

fn our_fault(text: &str) -> Failure {
    Failure::new(FailureClass::OurFault, text).unsent()
}

#[cfg(test)]
mod tests;
