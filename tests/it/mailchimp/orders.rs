//! Whatever happens in the EMS and at MailChimp, in whatever order, to several persons who follow one another at few addresses: no write
//! of ours brings mail to somebody who left, or is out in the EMS; and whoever wants mail, has not left and has an address that nobody
//! left gets it.

use std::collections::{BTreeMap, BTreeSet};

use ems_sync::remote::PushResult;
use ems_sync_remotes::mailchimp::{Act, Row, Status};
use serde_json::json;

use super::bench::{Bench, NEWS, in_list, row};
use crate::support::campaign::scaled;
use crate::support::random::Random;

const PERSONS: [i64; 3] = [41, 42, 43];
const ADDRESSES: [&str; 4] = ["a@club.org", "b@club.org", "c@club.org", "d@club.org"];

/// Of the suite's orders.
const SEED: u64 = 1;

/// Longer than a write of ours may take: whatever comes later is somebody else's doing.
const STEP_SECONDS: i64 = 600;

/// What the EMS, the engine and an observer know of a person.
#[derive(Debug, Clone, Default)]
struct Person {
    address: usize,
    /// Whether they want mail, and since when; `None` without a membership.
    wish: Option<(bool, i64)>,
    /// The sync record's remote id.
    remote_id: Option<String>,
    /// The address of the last push: nobody else gets it before they are pushed with another one.
    holds: Option<usize>,
    /// They left by themselves, and have not subscribed by themselves since.
    left: bool,
    /// Their address bounced, or they left and somebody subscribed another address of theirs: whether they get mail is not looked at.
    is_unclear: bool,
}

struct World {
    bench: Bench,
    random: Random,
    persons: BTreeMap<i64, Person>,
    /// Addresses that somebody left: they are mailed to nobody.
    left_at: BTreeSet<usize>,
    /// Those that bounce.
    bounced_at: BTreeSet<usize>,
    /// The last opt-out in the EMS that was said of an address.
    out_at: BTreeMap<usize, i64>,
    second: i64,
    said: Vec<String>,
}

const fn is_active(status: Status) -> bool {
    matches!(status, Status::Subscribed | Status::Pending)
}

fn person_of(row: &Row) -> Option<i64> {
    row.ems_id.as_ref()?.parse().ok()
}

impl Person {
    /// Their record names this member.
    fn knows(&self, contact: &str) -> bool {
        self.remote_id.as_ref().is_some_and(|id| id.contains(contact))
    }
}

fn contact_of(row: &Row) -> String {
    row.body["contact_id"].as_str().unwrap().to_owned()
}

impl World {
    async fn new(random: Random) -> Self {
        let of = |(n, id)| (id, Person { address: n, ..Person::default() });
        Self {
            bench: Bench::new().await,
            random,
            persons: PERSONS.into_iter().enumerate().map(of).collect(),
            left_at: BTreeSet::new(),
            bounced_at: BTreeSet::new(),
            out_at: BTreeMap::new(),
            second: 0,
            said: Vec::new(),
        }
    }

    /// The members by contact id.
    fn members(&self) -> BTreeMap<String, Row> {
        self.bench.sim.rows(NEWS).into_iter().map(|row| (contact_of(&row), row)).collect()
    }

    fn address_of(row: &Row) -> usize {
        ADDRESSES.iter().position(|address| *address == row.email_address).unwrap()
    }

    fn wishes(&mut self, wants: bool) {
        let id = *self.random.pick(&PERSONS);
        self.said.push(format!("{id} wants mail: {wants}"));
        self.persons.get_mut(&id).unwrap().wish = Some((wants, self.second));
    }

    fn lapses(&mut self) {
        let id = *self.random.pick(&PERSONS);
        self.said.push(format!("{id} lapses"));
        self.persons.get_mut(&id).unwrap().wish = None;
    }

    fn moves(&mut self) {
        let (id, to) = (*self.random.pick(&PERSONS), self.random.below(ADDRESSES.len()));
        if self.persons.values().all(|person| person.address != to) {
            self.said.push(format!("{id} moves to {}", ADDRESSES[to]));
            self.persons.get_mut(&id).unwrap().address = to;
        }
    }

    /// Somebody acts at MailChimp.
    fn acts(&mut self) {
        let at = self.random.below(ADDRESSES.len());
        let act = self
            .random
            .pick(&[
                Act::Subscribe,
                Act::Subscribe,
                Act::Unsubscribe,
                Act::Unsubscribe,
                Act::Complain,
                Act::Clean,
                Act::Archive,
            ])
            .clone();
        let there = self.bench.sim.member(NEWS, ADDRESSES[at]);
        let is_mailed = there.as_ref().is_some_and(|row| is_active(row.status));
        let owner = there.as_ref().map(person_of);
        // Only mail bounces.
        if owner.is_none() && act != Act::Subscribe || act == Act::Clean && !is_mailed {
            return;
        }
        self.said.push(format!("{act:?} at {}, which is {owner:?}'s", ADDRESSES[at]));
        self.bench.act(NEWS, ADDRESSES[at], &act);
        let subscribes = act == Act::Subscribe;
        if subscribes {
            self.left_at.remove(&at);
            self.bounced_at.remove(&at);
            self.out_at.remove(&at);
        } else if act == Act::Clean {
            self.bounced_at.insert(at);
        } else {
            self.left_at.insert(at);
        }
        for (id, person) in &mut self.persons {
            // What happens with an address that they had before they got another member is no word of who that one is.
            let is_known = there.as_ref().is_some_and(|row| person.knows(&contact_of(row)));
            let is_owner = owner.flatten() == Some(*id) && is_known;
            if subscribes && is_owner {
                (person.left, person.is_unclear) = (false, false);
            } else if subscribes && person.address == at {
                person.is_unclear |= person.left;
                person.left = false;
            } else if subscribes {
                continue;
            } else if is_owner && act == Act::Clean {
                person.is_unclear = true;
            } else if is_owner {
                person.left = true;
            }
        }
    }

    async fn pushes(&mut self) {
        let id = *self.random.pick(&PERSONS);
        let person = self.persons[&id].clone();
        let is_held = |other: &Person| other.holds == Some(person.address);
        if person.wish.is_none() && person.remote_id.is_none()
            || self.persons.iter().any(|(other, of)| *other != id && is_held(of))
        {
            return;
        }
        self.said.push(format!("{id} is pushed"));
        let lists = match person.wish {
            Some((wants, since)) => {
                json!({"news": in_list(if wants { "SUBSCRIBED" } else { "UNSUBSCRIBED" }, since)})
            }
            None => json!({"elsewhere": in_list("SUBSCRIBED", 1)}),
        };
        let fields = row(ADDRESSES[person.address], lists);
        let before = self.members();
        let push = match &person.remote_id {
            Some(known) => self.bench.update(id, known, &fields),
            None => self.bench.create(id, &fields),
        };
        let result = self.bench.one(push).await;
        let after = self.members();
        let PushResult::Held { remote_id, .. } = result else {
            // Somebody subscribed a member that another person moved away from and left: people are told.
            let at = |row: &&Row| Self::address_of(row) == person.address;
            let there = before.values().find(at).unwrap_or_else(|| {
                panic!("{id} is not brought home: {result:?}\n{:#?}", self.said)
            });
            let of = person_of(there);
            let is_anothers = is_active(there.status) && of.is_some_and(|of| of != id);
            assert!(
                is_anothers,
                "{id} is not brought home: {result:?}\n{there:#?} {:#?}",
                self.said
            );
            self.check_who_left(id, &person, &before, &after);
            return;
        };
        self.check_who_left(id, &person, &before, &after);
        self.check_who_stays(id, &person, &after);
        let known = self.persons.get_mut(&id).unwrap();
        known.remote_id = Some(remote_id);
        known.holds = person.wish.map(|_| person.address);
        // Who has the member of an address that somebody left has left, as far as anybody can tell.
        for (contact, member) in &after {
            if person_of(member) != Some(id) || !known.knows(contact) {
                continue;
            }
            let at = Self::address_of(member);
            known.left |= self.left_at.contains(&at);
            known.is_unclear |= self.bounced_at.contains(&at);
            // Somebody subscribed the address that they have now, and they are there by that.
            known.left &= !(is_active(member.status) && at == person.address);
            if let Some((false, since)) = person.wish
                && member.status == Status::Unsubscribed
            {
                self.out_at.insert(at, since);
            }
        }
    }

    /// No write of ours brings somebody back who left, or mails whom it knows for out.
    fn check_who_left(
        &self,
        id: i64,
        person: &Person,
        before: &BTreeMap<String, Row>,
        after: &BTreeMap<String, Row>,
    ) {
        let ours = after.iter().filter(|(_, member)| person_of(member) == Some(id));
        for (contact, member) in ours.filter(|(_, member)| is_active(member.status)) {
            let was_active = before.get(contact).is_some_and(|member| is_active(member.status));
            assert!(was_active || !person.left, "{id} left, and is brought back: {:#?}", self.said);
            // A member that nobody knows for theirs any more was subscribed by whoever has its address.
            let is_known = person.knows(contact) || Self::address_of(member) == person.address;
            assert!(
                !is_known || person.wish.is_some_and(|(wants, _)| wants),
                "{id} is {:?} at {} and wants no mail: {:#?}",
                member.status,
                member.email_address,
                self.said
            );
        }
    }

    /// Who wants mail gets it, unless they left, or somebody left their address.
    fn check_who_stays(&self, id: i64, person: &Person, after: &BTreeMap<String, Row>) {
        let Some((true, since)) = person.wish else { return };
        let is_out = person.left
            || person.is_unclear
            || self.left_at.contains(&person.address)
            || self.bounced_at.contains(&person.address)
            || self.out_at.get(&person.address).is_some_and(|out| *out >= since);
        let is_there = after.values().any(|member| {
            person_of(member) == Some(id)
                && is_active(member.status)
                && Self::address_of(member) == person.address
        });
        assert!(is_out || is_there, "{id} wants mail, and gets none: {after:#?} {:#?}", self.said);
    }
}

#[tokio::test]
async fn nobody_who_left_is_brought_back_in_whatever_order_and_nobody_else_is_held_up() {
    // Always the same ones in the suite; others with the campaign.
    let mut random =
        if scaled(0, 1) == 0 { Random::of(SEED) } else { Random::seeded("mailchimp::orders") };
    for _ in 0..scaled(25, 2_000) {
        let mut world = World::new(random.fork()).await;
        for _ in 0..60 {
            world.second += 1;
            let offset = world.second * STEP_SECONDS;
            world.bench.sim.configure(|settings| settings.clock_offset_seconds = offset);
            match world.random.below(20) {
                0..3 => world.wishes(true),
                3..5 => world.wishes(false),
                5 => world.lapses(),
                6..8 => world.moves(),
                8..11 => world.acts(),
                _ => world.pushes().await,
            }
        }
        world.bench.assert_clean();
    }
}
