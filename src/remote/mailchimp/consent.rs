//! What is to be done with a member, from what the EMS wants and how the member stands there (contract, section 6). Pure.
//!
//! The more restrictive state wins. What people did there, or `MailChimp` itself, stays; only what our own sync did is taken
//! back, and after an opt-out only by an opt-in in the EMS that is later than it.

use jiff::Timestamp;

use super::member::{Member, Status};
use super::out::{Did, Said};
use super::wire::Wanted;

/// The one step that brings a member to where the EMS wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nobody is there: a new member.
    Create,
    /// They are there, and stay as they stand; only their fields are brought up to date.
    Fields,
    /// What we did is taken back.
    Restore,
    /// They are unsubscribed by us.
    Unsubscribe,
    /// Nothing of them is touched.
    Leave,
}

/// Decides for a person, whose wish this is. Who was unsubscribed by us with an address that they had left by then says nothing of who
/// has it now.
pub(super) fn step(
    wanted: Wanted,
    since: Option<Timestamp>,
    person: i64,
    there: Option<&Member>,
) -> Step {
    let Some(there) = there else {
        return match wanted {
            Wanted::Subscribed | Wanted::Pending => Step::Create,
            Wanted::Out => Step::Leave,
        };
    };
    let may_restore = || {
        let is_anothers = there.person() != Some(person);
        let had_moved = there.our_mark().is_some_and(|mark| mark.did == Did::UnsubscribeMoved);
        let may_be = is_anothers && had_moved || there.said().allows(since);
        // Nor does who left with it before another one had it.
        may_be && there.out().said(person).is_none_or(|said| said.allows(since))
    };
    match (wanted, there.status) {
        (Wanted::Out, Status::Subscribed | Status::Pending) => Step::Unsubscribe,
        (Wanted::Out, _) => Step::Leave,
        (_, Status::Subscribed | Status::Pending | Status::Transactional | Status::Cleaned) => {
            Step::Fields
        }
        (_, Status::Unsubscribed | Status::Archived) if may_restore() => Step::Restore,
        (_, Status::Unsubscribed) => Step::Fields,
        // A write could restore them.
        (_, Status::Archived) => Step::Leave,
    }
}

/// What a member who was this person's, and is somebody else's by now, means for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Former {
    /// Nothing keeps them from mail elsewhere.
    Free,
    /// They left with it, or have not opted in since they opted out with it.
    StaysOut,
    /// Nothing is written down of them: they may have left with it.
    Unknown,
}

/// By what they had said with it when it was taken from them, against an opt-in of the EMS of this moment.
pub(super) fn former(said: Option<Said>, since: Option<Timestamp>) -> Former {
    match said {
        None => Former::Unknown,
        Some(said) if said.allows(since) => Former::Free,
        Some(_) => Former::StaysOut,
    }
}

/// Whether somebody who was another member stays with that one, and out of the list, though another member has their address: they
/// left, or opted out and not in again, and nobody subscribed that address.
pub(super) fn stays_out(since: Option<Timestamp>, before: &Member, here: &Member) -> bool {
    !here.is_active() && !before.said().allows(since)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::remote::mailchimp::out::{Mark, Out};

    /// Whose wish it is.
    const PERSON: i64 = 42;

    fn moment(second: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + second).unwrap()
    }

    fn member(status: Status, mark: Option<Mark>, last_changed: i64) -> Member {
        member_of(PERSON, status, &Out::default().marked(mark), last_changed)
    }

    fn member_of(person: i64, status: Status, out: &Out, last_changed: i64) -> Member {
        Member::read(&json!({"id": "a", "contact_id": "c", "email_address": "a@club.org", "status": status.word(),
            "tags": [], "last_changed": moment(last_changed).to_string(),
            "merge_fields": {"EMSID": person.to_string(), "EMSOUT": out.text()}}))
        .unwrap()
    }

    #[test]
    fn each_step_is_that_of_the_contracts_table() {
        use Status as S;
        let at = |status| member(status, None, 0);
        for wanted in [Wanted::Subscribed, Wanted::Pending] {
            let step = |there: Option<&Member>| step(wanted, Some(moment(9)), PERSON, there);
            assert_eq!(step(None), Step::Create);
            for status in [S::Subscribed, S::Pending, S::Unsubscribed, S::Cleaned] {
                assert_eq!(step(Some(&at(status))), Step::Fields, "{status:?}");
            }
            assert_eq!(step(Some(&at(S::Archived))), Step::Leave);
        }
        let step = |there: Option<&Member>| step(Wanted::Out, Some(moment(9)), PERSON, there);
        assert_eq!(step(None), Step::Leave);
        for status in [S::Subscribed, S::Pending] {
            assert_eq!(step(Some(&at(status))), Step::Unsubscribe);
        }
        for status in [S::Unsubscribed, S::Cleaned, S::Archived, S::Transactional] {
            assert_eq!(step(Some(&at(status))), Step::Leave, "{status:?}");
        }
    }

    #[test]
    fn what_we_did_is_taken_back_only_by_a_later_opt_in() {
        let mark = |did, opt_out| Mark { did, written: moment(20), opt_out };
        let of = |there: &Member, since: i64| {
            step(Wanted::Subscribed, Some(moment(since)), PERSON, Some(there))
        };
        let out = member(Status::Unsubscribed, Some(mark(Did::Unsubscribe, Some(moment(10)))), 21);
        assert_eq!(of(&out, 11), Step::Restore);
        assert_eq!(of(&out, 10), Step::Fields, "it is no later opt-in");
        let lapsed = member(Status::Archived, Some(mark(Did::Archive, None)), 21);
        assert_eq!(of(&lapsed, 1), Step::Restore, "a lapse is no opt-out");
        let both = member(Status::Archived, Some(mark(Did::Archive, Some(moment(10)))), 21);
        assert_eq!((of(&both, 11), of(&both, 9)), (Step::Restore, Step::Leave));
        let left = member(Status::Archived, Some(mark(Did::ArchiveLeft, None)), 21);
        assert_eq!(of(&left, 99), Step::Leave, "they had left before");
    }

    /// Everything that may stand in a member, against both persons and every opt-in: who left with it gets no mail by it again by us, nor
    /// by another one.
    #[test]
    fn who_left_with_a_member_comes_back_by_no_opt_in_whoever_has_it() {
        let opt_out = Some(moment(10));
        let mark = |did, opt_out| Some(Mark { did, written: moment(20), opt_out });
        let marks = [
            None,
            mark(Did::Unsubscribe, opt_out),
            mark(Did::UnsubscribeMoved, opt_out),
            mark(Did::Archive, None),
            mark(Did::Archive, opt_out),
            mark(Did::ArchiveLeft, None),
        ];
        let mut restored = 0;
        for status in Status::ALL {
            for mark in marks {
                for owner in [PERSON, 50] {
                    for said in [
                        None,
                        Some(Said::Nothing),
                        Some(Said::OptedOut(moment(10))),
                        Some(Said::Bounced),
                        Some(Said::Left),
                    ] {
                        let out = Out::default().marked(mark);
                        let out = said.map_or(out.clone(), |said| out.with(PERSON, said));
                        let there = member_of(owner, status, &out, 21);
                        for since in [None, Some(moment(9)), Some(moment(10)), Some(moment(11))] {
                            let step = step(Wanted::Subscribed, since, PERSON, Some(&there));
                            if step == Step::Restore {
                                restored += 1;
                                assert!(!matches!(said, Some(Said::Left | Said::Bounced)));
                                assert!(!matches!(there.said(), Said::Left | Said::Bounced));
                                assert!(matches!(status, Status::Unsubscribed | Status::Archived));
                            }
                            let expected = match said {
                                None => Former::Unknown,
                                Some(Said::Nothing) => Former::Free,
                                Some(Said::OptedOut(_)) if since > Some(moment(10)) => Former::Free,
                                Some(Said::OptedOut(_) | Said::Bounced | Said::Left) => {
                                    Former::StaysOut
                                }
                            };
                            assert_eq!(former(there.out().said(PERSON), since), expected);
                        }
                    }
                }
            }
        }
        assert!(restored > 20, "{restored}");
    }

    #[test]
    fn who_left_stays_with_that_member_unless_somebody_subscribed_the_new_address() {
        let before = member(Status::Unsubscribed, None, 0);
        for status in Status::ALL {
            let is_active =
                matches!(status, Status::Subscribed | Status::Pending | Status::Transactional);
            let here = member_of(50, status, &Out::default(), 0);
            assert_eq!(stays_out(Some(moment(99)), &before, &here), !is_active, "{status:?}");
            let there = member(Status::Subscribed, None, 0);
            assert!(!stays_out(Some(moment(99)), &there, &here), "{status:?}");
        }
    }

    /// Every order of what happens there and here: no step of ours brings mail to somebody who has left by themselves.
    #[derive(Debug, Clone, Copy)]
    enum Happens {
        EmsOptsIn,
        EmsOptsOut,
        EmsLapses,
        TheyLeave,
        TheyBounce,
        TheyAreArchivedByPeople,
        TheySubscribe,
    }

    fn happens() -> impl Strategy<Value = Happens> {
        prop_oneof![
            Just(Happens::EmsOptsIn),
            Just(Happens::EmsOptsOut),
            Just(Happens::EmsLapses),
            Just(Happens::TheyLeave),
            Just(Happens::TheyBounce),
            Just(Happens::TheyAreArchivedByPeople),
            Just(Happens::TheySubscribe),
        ]
    }

    proptest! {
        #[test]
        fn the_more_restrictive_state_wins_in_every_order(events in proptest::collection::vec((happens(), any::<bool>()), 0..12)) {
            let (mut there, mut left, mut wish) = (None::<Member>, false, None::<(Wanted, i64)>);
            for (n, (event, pushes)) in events.into_iter().enumerate() {
                // Far apart: within the time that a write may take, nobody can tell who came first.
                let now = i64::try_from(n).unwrap() * 1_000;
                let set = |status: Status, there: &mut Option<Member>| {
                    if let Some(member) = there {
                        *member = Member { status, last_changed: Some(moment(now)), ..member.clone() };
                    }
                };
                match event {
                    Happens::EmsOptsIn => wish = Some((Wanted::Subscribed, now)),
                    Happens::EmsOptsOut => wish = Some((Wanted::Out, now)),
                    Happens::EmsLapses => wish = None,
                    Happens::TheyLeave => { set(Status::Unsubscribed, &mut there); left |= there.is_some(); }
                    Happens::TheyBounce => { set(Status::Cleaned, &mut there); left |= there.is_some(); }
                    Happens::TheyAreArchivedByPeople => { set(Status::Archived, &mut there); left |= there.is_some(); }
                    Happens::TheySubscribe => { set(Status::Subscribed, &mut there); left = false; }
                }
                if !pushes { continue; }
                let text = |mark| Out::default().marked(Some(mark)).text();
                match wish {
                    Some((wanted, since)) => match step(wanted, Some(moment(since)), PERSON, there.as_ref()) {
                        Step::Create => there = Some(member(Status::Subscribed, None, now)),
                        Step::Restore => {
                            prop_assert!(!left, "re-subscribed");
                            set(Status::Subscribed, &mut there);
                        }
                        Step::Unsubscribe => {
                            set(Status::Unsubscribed, &mut there);
                            let mark = Mark { did: Did::Unsubscribe, written: moment(now), opt_out: Some(moment(since)) };
                            there = there.map(|m| Member { out: text(mark), ..m });
                        }
                        Step::Fields | Step::Leave => {}
                    },
                    None => if let Some(member) = there.clone().filter(|m| matches!(m.status, Status::Subscribed | Status::Unsubscribed)) {
                        let mark = member.lapse_mark(moment(now));
                        set(Status::Archived, &mut there);
                        there = there.map(|m| Member { out: text(mark), ..m });
                    },
                }
                let is_mailed = there.as_ref().is_some_and(|m| m.status == Status::Subscribed);
                if let Some((Wanted::Out, _)) = wish {
                    prop_assert!(!is_mailed, "mailed although opted out in the EMS");
                }
                prop_assert!(!(is_mailed && left), "mailed although they left");
            }
        }
    }
}
