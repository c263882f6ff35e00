//! Short words for what the EMS does, what is waited for and what must be the same on both sides.

use std::time::Duration;

use ems_sync::broker::Queue;
use ems_sync::process::Role;
use ems_sync::target::Target;
use ems_sync_remotes::{Entry, Fault, Rule};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};

use super::super::bed::{Bed, CLUB, NEWS, QUESTION, of_sim};
use super::ways::resource;
use crate::support::parity;
use crate::support::readings::{chatwoot, mailchimp, mautic, runsignup};
use crate::support::rig::PATIENCE;

pub(super) const CONSUMING: [Role; 2] = [Role::Relay, Role::Consume];

impl Bed {
    /// An EMS with a race that is mapped to RunSignup's and nobody in it; these targets are on.
    pub(super) async fn without_people(enabled: &[Target]) -> Self {
        let bed = Self::with(enabled, None).await;
        bed.populate(0).await;
        bed
    }

    /// So many persons more, whom every target wants, each with a registration and a tag of the same number; who has an odd
    /// one is in one list, the others in two. The first one's number.
    pub(super) async fn more(&self, people: i64) -> i64 {
        let first = self.rig.count("select coalesce(max(id), 0) + 1 from ems.person").await;
        let last = first + people - 1;
        self.rig
            .exec(&format!(
                "begin;
                 insert into ems.person (id, first_name, last_name, email, phone, date_of_birth, gender, language,
                                         address_line, city, province, postal_code, country) overriding system value
                     select n, 'Thandi', 'Runner ' || n, 'runner' || n || '@club.org', '+1856850' || lpad(n::text, 4, '0'),
                            date '1980-01-01' + n::int, 'FEMALE', 'en', n || ' Church Street', 'Trenton', 'NJ', '08057', 'US'
                     from generate_series({first}, {last}) n;
                 insert into ems.event_participant (id, event_id, person_id, race_id, number) overriding system value
                     select n, r.event_id, n, r.id, (10000 + n)::text from ems.race r, generate_series({first}, {last}) n;
                 insert into ems.contact_preference (person_id, channel, opted_in)
                     select n, c, true from generate_series({first}, {last}) n, unnest(array['EMAIL', 'SMS']) c;
                 insert into ems.list_membership (person_id, list_code, status)
                     select n, l, 'SUBSCRIBED' from generate_series({first}, {last}) n, unnest(array['news', 'club']) l
                     where l = 'news' or n % 2 = 0;
                 insert into ems.tag (id, person_id, number) overriding system value
                     select n, n, 'T' || lpad(n::text, 6, '0') from generate_series({first}, {last}) n;
                 commit"
            ))
            .await;
        first
    }

    /// The fault strikes what is written of this entity.
    pub(super) fn strike(&self, target: Target, id: i64, fault: Fault, times: Option<u64>) {
        let rule = Rule::new(fault).writes().resource(resource(target)).external_id(id);
        let rule = match times {
            Some(times) => rule.times(times),
            None => rule.unlimited(),
        };
        of_sim!(self, target, sim => sim.faults().push(rule));
    }

    /// What was written of this entity, or tried to.
    pub(super) fn writes_of(&self, target: Target, id: i64) -> Vec<Entry> {
        let id = id.to_string();
        let is_it = |entry: &Entry| {
            entry.operation.is_write()
                && entry.resource.as_deref() == Some(resource(target))
                && entry.external_ids.contains(&id)
        };
        self.journal(target).into_iter().filter(is_it).collect()
    }

    /// Waits until the target has seen something.
    pub(super) async fn seen(&self, target: Target, what: &str, condition: impl Fn() -> bool) {
        of_sim!(self, target, sim => {
            let seen = tokio::time::timeout(PATIENCE, sim.wait_for(&condition)).await;
            assert!(seen.is_ok(), "{what}: {:#?}", self.rig.owed().await);
        });
    }

    /// Waits until one of so many rules of the fault script has struck: one strikes a call, with all whom it brings.
    pub(super) async fn struck(&self, target: Target, rules: usize) {
        let has = || of_sim!(self, target, sim => sim.faults().rules().len() < rules);
        self.seen(target, "a fault strikes", has).await;
    }

    /// Waits until the shared state of the target is so.
    pub(super) async fn target_is(&self, target: Target, condition: &str) {
        let sql = format!(
            "select 1 - count(*) from sync.target where target = '{target}' and ({condition})"
        );
        self.rig.until(&sql, condition).await;
    }

    /// Moves of the target's breaker and orders, by this condition.
    pub(super) async fn events(&self, condition: &str) -> i64 {
        self.rig.count(&format!("select count(*) from sync.target_event where {condition}")).await
    }

    /// Waits until everything but this is done.
    pub(super) async fn all_but(&self, exception: &str) {
        let sql = format!(
            "select (select count(*) from sync.outbox)
                  + (select count(*) from sync.record where owed_gen > done_gen and not ({exception}))"
        );
        self.rig.until(&sql, "done").await;
    }

    /// Waits until so many dead letters are open.
    pub(super) async fn open_dead_letters(&self, n: i64) {
        let sql =
            format!("select abs(count(*) - {n}) from sync.dead_letter where closed_on is null");
        self.rig.until(&sql, "dead-lettered").await;
    }

    /// Nothing was dead-lettered, and no entity of the target has a failed attempt to its name.
    pub(super) async fn assert_nothing_burnt(&self, target: Target) {
        assert_eq!(self.rig.count("select count(*) from sync.dead_letter").await, 0);
        let burnt =
            format!("select max(attempts)::bigint from sync.record where target = '{target}'");
        assert_eq!(self.rig.count(&burnt).await, 0, "attempts are burnt");
    }

    /// Waits until the target's queue of dead letters holds so many tokens.
    pub(super) async fn tokens(&self, target: Target, n: u32) {
        let queue = Queue::dead(target).name(&self.rig.prefix);
        self.queue_becomes(&queue, &format!("{n} tokens"), |state| state.message_count() == n)
            .await;
    }

    /// Waits until the target's deliveries have no consumer any more: every process has seen that it is closed.
    pub(super) async fn nobody_consumes(&self, target: Target) {
        let queue = Queue::outbound(target).name(&self.rig.prefix);
        self.queue_becomes(&queue, "no consumer", |state| state.consumer_count() == 0).await;
    }

    async fn queue_becomes(
        &self,
        queue: &str,
        what: &str,
        condition: impl Fn(&lapin::Queue) -> bool,
    ) {
        let connect =
            Connection::connect(&self.rig.services.amqp_url, ConnectionProperties::default());
        let connection = connect.await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let becomes = async {
            let mut pace = tokio::time::interval(Duration::from_millis(50));
            loop {
                pace.tick().await;
                let options = QueueDeclareOptions { passive: true, ..Default::default() };
                let state =
                    channel.queue_declare(queue.into(), options, FieldTable::default()).await;
                if condition(&state.unwrap()) {
                    return;
                }
            }
        };
        let became = tokio::time::timeout(PATIENCE, becomes).await;
        assert!(became.is_ok(), "{queue}: not {what}");
        connection.close(200, "done".into()).await.unwrap();
    }

    /// The target holds what the EMS has, once, by a reading of its own of both, and was never spoken to as it must not be.
    pub(super) async fn assert_same(&self, target: Target, when: &str) {
        self.assert_same_in_the_end(target, when).await;
        assert_eq!(of_sim!(self, target, sim => sim.overlaps()), [], "{target} {when}");
    }

    /// The same where a request had to be given up before it landed: the next one may overlap with it, no others may.
    pub(super) async fn assert_same_in_the_end(&self, target: Target, when: &str) {
        let ems = &self.rig.ems;
        let lists = [("news", NEWS), ("club", CLUB)];
        let differences = match target {
            Target::TagServer => parity::differences(&self.rig).await,
            Target::Mautic => mautic::differences(ems, &self.mautic).await,
            Target::MailChimp => mailchimp::differences(ems, &self.mailchimp, lists).await,
            Target::RunSignup => runsignup::differences(ems, &self.runsignup, QUESTION).await,
            Target::Chatwoot => chatwoot::differences(ems, &self.chatwoot).await,
        };
        assert!(differences.is_empty(), "{target} {when}: {differences:#?}");
        assert_eq!(self.violations(target), [], "{target} {when}");
        let overlaps = of_sim!(self, target, sim => sim.overlaps());
        assert!(overlaps.iter().all(|overlap| overlap.abandoned), "{target} {when}: {overlaps:?}");
    }
}
