//! One person: all their lists, one after the other. Synced only when every list is.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::MailChimp;
use super::calls::{Calls, Ended};
use super::member::Member;
use super::one_list::OneList;
use super::wire::{self, Content};
use crate::entity::EntityType;
use crate::remote::{Action, Failure, FailureClass, Look, Push, PushResult, Wire};

/// Contact ids by list code: a person's remote id.
pub(super) type Contacts = BTreeMap<String, String>;

/// The remote id of these members.
pub(super) fn remote_id(contacts: &Contacts) -> String {
    serde_json::to_string(contacts).unwrap_or_default()
}

/// The members of a remote id, which only we have written.
fn contacts(remote_id: &str) -> Option<Contacts> {
    let contacts: Contacts = serde_json::from_str(remote_id).ok()?;
    let is_name = |id: &String| !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric());
    contacts.values().all(is_name).then_some(contacts)
}

/// Whether one remote id names only members that another one names too.
pub(super) fn is_part_of(there: &str, known: &str) -> bool {
    let (Some(there), Some(known)) = (contacts(there), contacts(known)) else { return false };
    there.iter().all(|(code, contact)| known.get(code) == Some(contact))
}

impl MailChimp {
    pub(super) async fn push_one(&self, push: Push) -> PushResult {
        let entity = push.entity;
        if entity.entity_type != EntityType::Person {
            let failure = Failure::new(FailureClass::OurFault, "MailChimp has persons only");
            return PushResult::Failed(failure);
        }
        let calls = Calls::new(self, entity.id, &push.send_before);
        let person = Person { client: self, calls: &calls };
        match push.action {
            Action::Create { wire, look } => {
                let were = push.former.as_deref().and_then(contacts);
                person.bring(&wire, were.map(Known::Formerly), look).await
            }
            Action::Update { remote_id, wire } => match contacts(&remote_id) {
                Some(known) => person.bring(&wire, Some(Known::Now(known)), push.besides).await,
                None => PushResult::Failed(not_an_id()),
            },
            Action::Delete { remote_id } => match contacts(&remote_id) {
                Some(known) => person.delete(known, push.besides).await,
                None => person.delete_by_key().await,
            },
            Action::DeleteByKey => person.delete_by_key().await,
        }
    }
}

fn not_an_id() -> Failure {
    Failure::new(FailureClass::StaleMapping, "The remote id is not an object of contact ids")
}

/// The members that somebody is known to have, or to have had before they had none for a while: who left with one of these does not
/// come back by another.
enum Known {
    Now(Contacts),
    Formerly(Contacts),
}

impl Known {
    fn contacts(self) -> Contacts {
        match self {
            Self::Now(contacts) | Self::Formerly(contacts) => contacts,
        }
    }
}

/// The work for one person.
struct Person<'a> {
    client: &'a MailChimp,
    calls: &'a Calls<'a>,
}

impl Person<'_> {
    fn list<'a>(&'a self, code: &'a str, list: &'a str, look: Look) -> OneList<'a> {
        let (given_up_by, found) = (&[][..], Mutex::default());
        OneList { calls: self.calls, code, list, look, given_up_by, is_former: false, found }
    }

    /// Brings a person to where the EMS wants them. A list that fails does not hold up the others.
    async fn bring(&self, wire: &Wire, known: Option<Known>, look: Look) -> PushResult {
        // Before the first create was sent nobody is there by us.
        let was_there = known.is_some() || look != Look::IfRefused;
        let contents = wire::contents(wire);
        let address = contents.values().next().map(|content| content.email.clone());
        let is_known = matches!(known, Some(Known::Now(_)));
        let is_former = matches!(known, Some(Known::Formerly(_)));
        let mut contacts = known.map(Known::contacts).unwrap_or_default();
        let mut held: BTreeMap<&str, Content> = BTreeMap::new();
        let mut worst = None;
        // Where somebody was lost, first those where they are wanted: whom these find tells of the others.
        let is_first = |code: &String| look == Look::IfRefused || contents.contains_key(code);
        let (there, elsewhere): (Vec<_>, Vec<_>) =
            self.client.lists.iter().partition(|(code, _)| is_first(code));
        for (code, list) in there.into_iter().chain(elsewhere) {
            let mut contact = contacts.remove(code);
            let given_up_by = &wire.given_up_by;
            let list = OneList { given_up_by, is_former, ..self.list(code, list, look) };
            let end: Result<Option<Member>, Ended> = match contents.get(code) {
                Some(content) => list.bring(content, &mut contact).await,
                // What others left under the address goes, too.
                None if !was_there && wire.given_up_by.is_empty() => Ok(None),
                None => list.leave(address.as_deref(), &mut contact).await.map(|_| None),
            };
            if let Some(contact) = contact {
                contacts.insert(code.clone(), contact);
            }
            match end {
                Ok(Some(member)) => {
                    held.insert(code, member.content());
                }
                Ok(None) => {}
                Err(ended) => match worse(worst.take(), ended) {
                    Worst::Goes(failure) => worst = Some(failure),
                    Worst::Ends(ended) => return self.with_found(ended, &contacts, is_known, look),
                },
            }
        }
        if let Some(failure) = worst {
            return self.with_found(PushResult::Failed(failure), &contacts, is_known, look);
        }
        let there = held.iter().map(|(code, content)| (*code, content));
        PushResult::Held {
            remote_id: remote_id(&contacts),
            remote_hash: wire::wire_of(there).hash,
            written: self.calls.has_written(),
            carried: Vec::new(),
            left_to: None,
            held: None,
        }
    }

    /// Takes a person out of every list. A failure forgets no id: that of a member who is archived tells their address still.
    /// With `besides`, whoever is not known is looked for as well.
    async fn delete(&self, contacts: Contacts, besides: Look) -> PushResult {
        let (mut worst, mut address) = (None, None);
        // First where they are known: that tells their address, under which they are looked for elsewhere.
        let (there, elsewhere): (Vec<_>, Vec<_>) =
            self.client.lists.iter().partition(|(code, _)| contacts.contains_key(*code));
        for (code, list) in there.into_iter().chain(elsewhere) {
            let mut contact = contacts.get(code).cloned();
            let list = self.list(code, list, Look::IfRefused);
            match list.leave(address.as_deref(), &mut contact).await {
                Ok(found) => address = found.or(address),
                Err(ended) => match worse(worst.take(), ended) {
                    Worst::Goes(failure) => worst = Some(failure),
                    Worst::Ends(ended) => {
                        return self.with_found(ended, &contacts, true, besides);
                    }
                },
            }
        }
        if let Some(failure) = worst {
            return self.with_found(PushResult::Failed(failure), &contacts, true, besides);
        }
        let absence_is_proof = match besides {
            Look::IfRefused => return PushResult::Gone,
            Look::First { absence_is_proof } => absence_is_proof,
        };
        let ended = self.delete_by_key().await;
        if ended == PushResult::Gone && !absence_is_proof {
            return PushResult::Unsettled;
        }
        self.with_found(ended, &contacts, true, besides)
    }

    /// Looks for whoever carries their EMS id, in every list from its beginning to its end: there is no search by a merge
    /// field.
    async fn delete_by_key(&self) -> PushResult {
        let mut worst = None;
        for (code, list) in &self.client.lists {
            let end = async {
                for contact in self.client.contacts_of(list, self.calls, None).await? {
                    self.list(code, list, Look::IfRefused).leave(None, &mut Some(contact)).await?;
                }
                Ok(())
            };
            match end.await {
                Ok(()) => {}
                Err(ended) => match worse(worst.take(), ended) {
                    Worst::Goes(failure) => worst = Some(failure),
                    Worst::Ends(ended) => return ended,
                },
            }
        }
        worst.map_or(PushResult::Gone, PushResult::Failed)
    }

    /// A failure after a write keeps what is known of the person, and leaves them in doubt (obligation 9): one list may hold
    /// what another one refused. `is_known`: that they are nowhere is known too. `look`: what was lost before, and is not
    /// found yet.
    fn with_found(
        &self,
        ended: Ended,
        contacts: &Contacts,
        is_known: bool,
        look: Look,
    ) -> PushResult {
        match ended {
            PushResult::Failed(failure)
                if self.calls.has_written() && failure.class != FailureClass::StaleMapping =>
            {
                let found = (is_known || !contacts.is_empty()).then(|| remote_id(contacts));
                let more = self.calls.has_lost() || look != Look::IfRefused;
                PushResult::Failed(Failure { found, more, ..failure })
            }
            ended @ (PushResult::Held { .. }
            | PushResult::Differs(_)
            | PushResult::Gone
            | PushResult::Unsettled
            | PushResult::NotSent
            | PushResult::Failed(_)) => ended,
        }
    }
}

/// What a list that ended early means for the others.
enum Worst {
    /// They go on; this is the gravest failure so far.
    Goes(Failure),
    /// Nothing more can be sent.
    Ends(Ended),
}

/// Adds a list's end to the gravest failure so far.
fn worse(worst: Option<Failure>, ended: Ended) -> Worst {
    let failure = match (ended, &worst) {
        (PushResult::Failed(failure), _) if !failure.class.closes_target() => failure,
        // What may have been applied must not be forgotten; that the target is closed was told by an alarm.
        (_, Some(worst)) if worst.class == FailureClass::Ambiguous => {
            return Worst::Ends(PushResult::Failed(worst.clone()));
        }
        // The others' failures are met again.
        (ended, _) => return Worst::Ends(ended),
    };
    Worst::Goes(match worst {
        Some(worst) if gravity(worst.class) >= gravity(failure.class) => worst,
        Some(_) | None => failure,
    })
}

/// Of the failures of several lists the one counts that leaves most open: what may have been applied before what may still
/// succeed, and that before what was refused.
const fn gravity(class: FailureClass) -> u8 {
    match class {
        FailureClass::Throttled | FailureClass::Authentication | FailureClass::Configuration => 6,
        FailureClass::Ambiguous => 5,
        FailureClass::Transient => 4,
        FailureClass::OurFault => 3,
        FailureClass::StaleMapping | FailureClass::MissingParent => 2,
        FailureClass::Postponed => 1,
        FailureClass::Rejected => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_id_is_canonical_and_only_ours_is_read() {
        let contacts_of = |pairs: &[(&str, &str)]| -> Contacts {
            pairs.iter().map(|(code, id)| ((*code).to_owned(), (*id).to_owned())).collect()
        };
        let both = contacts_of(&[("news", "c2"), ("club", "c1")]);
        assert_eq!(remote_id(&both), r#"{"club":"c1","news":"c2"}"#);
        assert_eq!(contacts(&remote_id(&both)), Some(both));
        assert_eq!(remote_id(&Contacts::new()), "{}");
        for odd in ["", "7", "[]", r#"{"news":7}"#, r#"{"news":"../x"}"#, r#"{"news":""}"#] {
            assert_eq!(contacts(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_remote_id_is_part_of_one_that_names_the_same_members_and_more() {
        let known = r#"{"club":"c1","news":"c2"}"#;
        for there in [known, r#"{"club":"c1"}"#, r#"{"news":"c2"}"#, "{}"] {
            assert!(is_part_of(there, known), "{there}");
        }
        for there in [r#"{"club":"c2"}"#, r#"{"club":"c1","other":"c3"}"#, "", "7"] {
            assert!(!is_part_of(there, known), "{there}");
        }
        assert!(!is_part_of(known, r#"{"news":"c2"}"#));
    }

    #[test]
    fn the_gravest_of_several_failures_counts_whatever_their_order() {
        let fail = |class| PushResult::Failed(Failure::new(class, "test"));
        for a in FailureClass::ALL {
            for b in FailureClass::ALL {
                let Worst::Goes(first) = worse(None, fail(a)) else {
                    assert!(a.closes_target());
                    continue;
                };
                let Worst::Goes(both) = worse(Some(first), fail(b)) else {
                    assert!(b.closes_target());
                    continue;
                };
                assert_eq!(gravity(both.class), gravity(a).max(gravity(b)));
            }
        }
        assert!(matches!(worse(None, PushResult::Unsettled), Worst::Ends(PushResult::Unsettled)));
    }
}
