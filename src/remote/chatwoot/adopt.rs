//! Which of the contacts that a look-up found is a person's (contract, section 7): adopted only where that is beyond doubt.
//! Pure.
//!
//! An e-mail address has one owner among the persons, which the engine sees to ([`Wire::match_key`]), so a contact with the
//! address is the person's, unless it carries somebody else's id. It may still carry the id of a person who gave the address up
//! to this one ([`Wire::given_up_by`]); anybody else's contact got the address from an agent, by an edit or a merge.
//! Families share phone numbers: a number alone says nothing.

use super::contact::Contact;
use super::wire;
use crate::entity::{EntityRef, EntityType};
use crate::hash::ContentHash;
use crate::remote::{Wire, inbound};
use serde_json::Value;

/// What is to be done about a person without a known contact.
#[derive(Debug, PartialEq)]
pub(super) enum Choice<'a> {
    /// This contact is the person's.
    Adopt(&'a Contact),
    /// None is.
    Create,
    /// None is, and the phone number is another contact's.
    CreateWithoutPhone,
    /// A person must decide; says what about.
    Ambiguous(&'static str),
}

/// Two contacts fit.
const TWO_FIT: &str = "ambiguous: one contact has this person's e-mail address and another one the phone number. \
    Merge them in Chatwoot if both are this person, or take the number off one; then replay";
/// The address is on a contact that another integration owns.
const FOREIGN_IDENTIFIER: &str = "ambiguous: the contact with this person's e-mail address or phone number has another \
    system's identifier. Clear it, or change the address there; then replay";
/// The address is on another person's contact.
const ANOTHER_PERSON: &str = "ambiguous: the contact with this person's e-mail address is linked to another person of the \
    EMS. Correct the address of one of them in the EMS or in Chatwoot; then replay";
/// The identifier is on another contact than the address.
pub(super) const IDENTIFIER_TAKEN: &str = "ambiguous: another contact has this person's identifier. Merge the two in \
    Chatwoot, or clear one's identifier; then replay";
/// The address that this person is to have is on another contact.
pub(super) const EMAIL_TAKEN: &str = "ambiguous: another contact has the e-mail address that this person has now. Merge the \
    two in Chatwoot if both are this person, or take the address off the other one; then replay";

/// Chooses among all contacts that share identifier, e-mail address or phone number with what `person` should hold. What
/// was found without case is compared exactly here.
pub(super) fn choose<'a>(person: i64, wire: &Wire, found: &'a [Contact]) -> Choice<'a> {
    let wanted = |name: &str| wire.body.get(name).cloned().unwrap_or(Value::Null);
    let having = |name: &'static str| {
        let value = wanted(name);
        found.iter().filter(move |contact| contact.holds(name, &value))
    };
    if let Some(ours) = having(wire::IDENTIFIER).next() {
        return Choice::Adopt(ours);
    }
    let by_email = having(wire::EMAIL).next();
    // With another person's id it is that one's number as well, not a second candidate.
    let is_candidate = |contact: &&Contact| contact.person().is_none_or(|of| of == person);
    let has_phone = having(wire::PHONE).next().is_some();
    let by_phone: Vec<&Contact> = having(wire::PHONE).filter(is_candidate).collect();
    if let Some(contact) = by_email {
        // What we made and let go is no second one of people's.
        if by_phone.iter().any(|other| other.id != contact.id && !other.is_let_go()) {
            return Choice::Ambiguous(TWO_FIT);
        }
        return match contact.person() {
            Some(of) if of == person => Choice::Adopt(contact),
            Some(of) if !gave_up(wire, of) => Choice::Ambiguous(ANOTHER_PERSON),
            Some(_) | None if contact.foreign_identifier().is_some() => {
                Choice::Ambiguous(FOREIGN_IDENTIFIER)
            }
            Some(_) | None => Choice::Adopt(contact),
        };
    }
    if let Some(ours) = by_phone.iter().find(|contact| contact.person() == Some(person)) {
        return Choice::Adopt(ours);
    }
    let mut same_person = by_phone.iter().filter(|contact| is_same_person(contact, wire));
    match (same_person.next(), same_person.next(), has_phone) {
        (Some(_), Some(_), _) => Choice::Ambiguous(TWO_FIT),
        (Some(contact), None, _) if contact.foreign_identifier().is_some() => {
            Choice::Ambiguous(FOREIGN_IDENTIFIER)
        }
        (Some(contact), None, _) => Choice::Adopt(contact),
        (None, _, true) => Choice::CreateWithoutPhone,
        (None, _, false) => Choice::Create,
    }
}

/// The address may be taken off a contact for the person whose content this is: it is what a person left there who gave the address up,
/// or what we made and let go. People's is never taken.
pub(super) fn may_take_email(from: &Contact, wire: &Wire) -> bool {
    let was_given_up = from.person().is_some_and(|of| gave_up(wire, of));
    from.foreign_identifier().is_none() && (was_given_up || from.is_let_go())
}

/// The contact is nobody's, or that of a person who gave it up to the one whose content this is.
pub(super) fn is_free(contact: &Contact, wire: &Wire) -> bool {
    contact.foreign_identifier().is_none() && contact.person().is_none_or(|of| gave_up(wire, of))
}

/// Whether something that people wrote to a contact would be written over which nobody has decided about: it holds neither what is
/// `expected` nor what is wanted.
pub(super) fn would_lose(contact: &Contact, wire: &Wire, expected: Option<ContentHash>) -> bool {
    let marks = [wire::IDENTIFIER, wire::ATTRIBUTE];
    expected.is_some_and(|expected| expected != contact.wire.hash)
        && inbound::would_lose(&wire.body, &contact.wire.body, &marks)
}

/// `person` wants the same address, has no contact, and left it to the one whose content this is.
pub(super) fn gave_up(wire: &Wire, person: i64) -> bool {
    wire.given_up_by.contains(&EntityRef::new(EntityType::Person, person))
}

/// Found by the phone number only: the names agree, and no other address speaks against it (father and son).
fn is_same_person(contact: &Contact, wire: &Wire) -> bool {
    let email = |body: &Value| body.get(wire::EMAIL).cloned().unwrap_or(Value::Null);
    let has_another_email =
        !email(&contact.wire.body).is_null() && email(&contact.wire.body) != email(&wire.body);
    wire::names_agree(&contact.wire.body, &wire.body) && !has_another_email
}

#[cfg(test)]
mod tests;
