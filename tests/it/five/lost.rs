//! Answers to creates are lost at every target: none has anybody twice.

use ems_sync_remotes::tagserver::{Bulk, TagServerOptions, TagServerSettings};
use ems_sync_remotes::{Fault, Operation, Rule};

use super::world::{Five, each};
use crate::support::campaign::{make_amends, scaled};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: run with the campaign"]
async fn answers_to_creates_that_are_lost_double_nothing_anywhere() {
    // One call for each create, so that each is lost.
    let settings = TagServerSettings { bulk: Bulk::NotFound, ..TagServerSettings::default() };
    let options = TagServerOptions { settings, ..TagServerOptions::default() };
    let five = Five::new(10, options).await;
    let running = five.rig.start_all();
    five.settled().await;
    five.assert_same("before").await;
    let lost = scaled(100, 1_000);
    // One in five, so that the breakers stay closed: how they open and close is not what this is about.
    let n = lost * 7;
    for (target, resource) in [
        ("tagserver", "people"),
        ("mautic", "contacts"),
        ("mailchimp", "members"),
        ("runsignup", "registrations"),
        ("chatwoot", "contacts"),
    ] {
        let mut rule =
            Rule::new(Fault::CommitThenDrop).resource(resource).probability(0.2).times(lost as u64);
        // A new member is put at the place of its address.
        rule =
            if target == "mailchimp" { rule.writes() } else { rule.operation(Operation::Create) };
        each!(five, sim => sim.faults())
            .into_iter()
            .find(|of| of.0 == target)
            .unwrap()
            .1
            .push(rule);
    }
    five.rig
        .exec(&format!(
            "with p as (insert into ems.person (first_name, last_name, email, date_of_birth)
                        select 'Lost', 'Answer ' || n, 'lost' || n || '@club.org', date '1970-01-01' + n
                        from generate_series(1, {n}) n returning id),
                  m as (insert into ems.list_membership (person_id, list_code, status) select id, 'news', 'SUBSCRIBED' from p)
             insert into ems.event_participant (event_id, person_id, race_id, number)
             select 1, id, (select min(id) from ems.race), (200000 + id)::text from p"
        ))
        .await;
    five.settled().await;
    make_amends(&five.rig).await;
    five.settled().await;
    five.assert_same("after lost answers").await;
    for (target, journal) in each!(five, sim => sim.journal()) {
        let struck = journal.iter().filter(|entry| !entry.faults.is_empty()).count();
        eprintln!("{target}: {struck} answers to creates were lost");
        assert_eq!(struck, lost, "{target}");
    }
    running.stop().await;
}
