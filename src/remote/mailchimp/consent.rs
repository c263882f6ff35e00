//! What is to be done with a member, from what the EMS wants and how the member stands there (contract, section 6). Pure.
//!
//! The more restrictive state wins. What people did there, or `MailChimp` itself, stays; only what our own sync did is taken
//! back, and after an opt-out only by an opt-in in the EMS that is later than it.

use jiff::Timestamp;

use super::member::{Member, Status};
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

/// Decides.
pub(super) fn step(wanted: Wanted, since: Option<Timestamp>, there: Option<&Member>) -> Step {
    let Some(there) = there else {
        return match wanted {
            Wanted::Subscribed | Wanted::Pending => Step::Create,
            Wanted::Out => Step::Leave,
        };
    };
    match (wanted, there.status) {
        (Wanted::Out, Status::Subscribed | Status::Pending) => Step::Unsubscribe,
        (Wanted::Out, _) => Step::Leave,
        (_, Status::Subscribed | Status::Pending | Status::Transactional | Status::Cleaned) => {
            Step::Fields
        }
        (_, Status::Unsubscribed) if may_restore(since, there) => Step::Restore,
        (_, Status::Unsubscribed) => Step::Fields,
        (_, Status::Archived) if may_restore(since, there) => Step::Restore,
        // A write could restore them.
        (_, Status::Archived) => Step::Leave,
    }
}

/// It stands as we left it, and the EMS's opt-in is later than the opt-out that we followed.
fn may_restore(since: Option<Timestamp>, there: &Member) -> bool {
    there.our_mark().is_some_and(|mark| match mark.opt_out {
        None => mark.did == super::member::Did::Archive,
        Some(opt_out) => since.is_some_and(|since| since > opt_out),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::remote::mailchimp::member::{Did, Mark};

    fn moment(second: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + second).unwrap()
    }

    fn member(status: Status, mark: Option<Mark>, last_changed: i64) -> Member {
        Member::read(&json!({"id": "a", "contact_id": "c", "email_address": "a@club.org", "status": status.word(),
            "tags": [], "last_changed": moment(last_changed).to_string(),
            "merge_fields": {"EMSOUT": mark.map(|mark| mark.text()).unwrap_or_default()}}))
        .unwrap()
    }

    #[test]
    fn each_step_is_that_of_the_contracts_table() {
        use Status as S;
        let at = |status| member(status, None, 0);
        for wanted in [Wanted::Subscribed, Wanted::Pending] {
            let step = |there: Option<&Member>| step(wanted, Some(moment(9)), there);
            assert_eq!(step(None), Step::Create);
            for status in [S::Subscribed, S::Pending, S::Unsubscribed, S::Cleaned] {
                assert_eq!(step(Some(&at(status))), Step::Fields, "{status:?}");
            }
            assert_eq!(step(Some(&at(S::Archived))), Step::Leave);
        }
        let step = |there: Option<&Member>| step(Wanted::Out, Some(moment(9)), there);
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
        let of =
            |there: &Member, since: i64| step(Wanted::Subscribed, Some(moment(since)), Some(there));
        let out = member(Status::Unsubscribed, Some(mark(Did::Unsubscribe, Some(moment(10)))), 21);
        assert_eq!(of(&out, 11), Step::Restore);
        assert_eq!(of(&out, 10), Step::Fields, "it is no later opt-in");
        let lapsed = member(Status::Archived, Some(mark(Did::Archive, None)), 21);
        assert_eq!(of(&lapsed, 1), Step::Restore, "a lapse is no opt-out");
        let both = member(Status::Archived, Some(mark(Did::Archive, Some(moment(10)))), 21);
        assert_eq!((of(&both, 11), of(&both, 9)), (Step::Restore, Step::Leave));
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
                let mark = |did, opt_out| Mark { did, written: moment(now), opt_out }.text();
                match wish {
                    Some((wanted, since)) => match step(wanted, Some(moment(since)), there.as_ref()) {
                        Step::Create => there = Some(member(Status::Subscribed, None, now)),
                        Step::Restore => {
                            prop_assert!(!left, "re-subscribed");
                            set(Status::Subscribed, &mut there);
                        }
                        Step::Unsubscribe => {
                            set(Status::Unsubscribed, &mut there);
                            there = there.map(|m| Member { out: mark(Did::Unsubscribe, Some(moment(since))), ..m });
                        }
                        Step::Fields | Step::Leave => {}
                    },
                    None => if let Some(member) = there.clone().filter(|m| matches!(m.status, Status::Subscribed | Status::Unsubscribed)) {
                        let opt_out = member.our_mark().and_then(|mark| mark.opt_out);
                        let is_ours = member.status == Status::Subscribed || opt_out.is_some();
                        set(Status::Archived, &mut there);
                        if is_ours {
                            there = there.map(|m| Member { out: mark(Did::Archive, opt_out), ..m });
                        }
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
