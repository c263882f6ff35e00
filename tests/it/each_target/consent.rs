//! G10 for what is no delete: many people who opt out, or lose what a target holds of them, at once. Held before the first
//! call; a person lets exactly them through; a single one flows, and so does everything else.

use std::collections::BTreeSet;

use ems_sync::process::Role;
use ems_sync::target::Target;
use ems_sync_remotes::chatwoot::Resource;
use ems_sync_remotes::mailchimp::Status;
use serde_json::Value;

use super::bed::{Bed, CLUB, NEWS, QUESTION};

const CONSUMING: [Role; 2] = [Role::Relay, Role::Consume];
const PEOPLE: i64 = 60;

/// One way in which a target loses something of a person.
struct Loss {
    target: Target,
    /// What the EMS does to those persons for whom the condition, over `person_id`, holds.
    by_ems: fn(&str) -> String,
    /// The view, its columns that change for those of whom `id % 5 < 3` holds, and who is shown at all.
    view: &'static str,
    columns: &'static [(&'static str, &'static str)],
    shown: &'static str,
    /// Persons of whom the remote has less than it had.
    lost: fn(&Bed) -> BTreeSet<i64>,
}

fn lost_at_mautic(bed: &Bed) -> BTreeSet<i64> {
    let contacts = bed.mautic.contacts().into_iter();
    let out = contacts.filter(|contact| !contact.do_not_contact.is_empty());
    out.map(|contact| contact.ems_person_id().unwrap().parse().unwrap()).collect()
}

/// Who is no subscriber of one of the lists.
fn lost_at_mailchimp(bed: &Bed) -> BTreeSet<i64> {
    let is_in = |list: &str, id: i64| {
        let member = bed.mailchimp.member(list, &format!("runner{id}@club.org"));
        member.is_some_and(|member| member.status == Status::Subscribed)
    };
    (1..=PEOPLE).filter(|id| !is_in(NEWS, *id) || !is_in(CLUB, *id)).collect()
}

fn lost_at_runsignup(bed: &Bed) -> BTreeSet<i64> {
    let standing = bed.runsignup.registrations().into_iter().filter(|row| row.active);
    let standing: BTreeSet<i64> =
        standing.map(|row| row.responses[&QUESTION].parse().unwrap()).collect();
    (1..=PEOPLE).filter(|id| !standing.contains(id)).collect()
}

fn lost_at_chatwoot(bed: &Bed) -> BTreeSet<i64> {
    let rows = bed.chatwoot.rows(Resource::Contact).into_iter();
    let without = rows.filter(|row| row.body["phone_number"].is_null());
    without.map(|row| row.external_id.unwrap().parse().unwrap()).collect()
}

const MAUTIC: Loss = Loss {
    target: Target::Mautic,
    by_ems: |who| {
        format!(
            "update ems.contact_preference set opted_in = false where channel = 'SMS' and {who}"
        )
    },
    view: "mautic_person",
    columns: &[("sms_opted_in", "false"), ("consents", "array['email']")],
    shown: "true",
    lost: lost_at_mautic,
};

const MAILCHIMP_LIST: Loss = Loss {
    target: Target::MailChimp,
    by_ems: |who| {
        format!(
            "update ems.list_membership set status = 'UNSUBSCRIBED' where list_code = 'club' and {who}"
        )
    },
    view: "mailchimp_person",
    columns: &[
        ("memberships", "jsonb_set(memberships, '{club,status}', '\"UNSUBSCRIBED\"')"),
        ("consents", "array['list:news']"),
    ],
    shown: "true",
    lost: lost_at_mailchimp,
};

const MAILCHIMP_CHANNEL: Loss = Loss {
    target: Target::MailChimp,
    by_ems: |who| {
        format!(
            "update ems.contact_preference set opted_in = false where channel = 'EMAIL' and {who}"
        )
    },
    view: "mailchimp_person",
    columns: &[("email_opted_in", "false"), ("consents", "'{}'")],
    shown: "true",
    lost: lost_at_mailchimp,
};

const RUNSIGNUP: Loss = Loss {
    target: Target::RunSignup,
    by_ems: |who| format!("update ems.event_participant set status = 'WITHDRAWN' where {who}"),
    view: "runsignup_event_participant",
    columns: &[],
    shown: "id % 5 >= 3",
    lost: lost_at_runsignup,
};

const CHATWOOT: Loss = Loss {
    target: Target::Chatwoot,
    by_ems: |who| {
        format!("update ems.person set phone = null where {}", who.replace("person_id", "id"))
    },
    view: "chatwoot_person",
    columns: &[("phone", "null")],
    shown: "true",
    lost: lost_at_chatwoot,
};

/// At most 20 at once, whatever the target holds.
async fn guarded(loss: &Loss) -> Bed {
    let mut bed = Bed::of(loss.target).await;
    bed.rig.set("GUARD__MAX_DELETES", "20");
    bed.rig.set("GUARD__MAX_DELETE_SHARE", "0");
    bed
}

/// Waits until so many are held by the guard and nothing else is owed.
async fn held(bed: &Bed, n: i64) {
    bed.rig.until("select count(*) from sync.outbox", "owed").await;
    bed.rig
        .until(
            &format!(
                "select abs({n} - (select count(*) from sync.record
                                   where state = 'held' and state_reason = 'guard' and (lessens or gone)))
                      + (select count(*) from sync.record
                         where owed_gen > done_gen and state <> 'held' and due_on < 'infinity')"
            ),
            "held",
        )
        .await;
}

async fn a_mass_loss_is_held(loss: &Loss) {
    let bed = guarded(loss).await;
    let running = bed.rig.start(&CONSUMING);
    bed.populate(PEOPLE).await;
    bed.rig.settled().await;
    let (target, name) = (loss.target, loss.target.name());
    let lost = || (loss.lost)(&bed);
    assert_eq!(lost(), BTreeSet::new());
    let writes = bed.counters(target).writes_applied();

    bed.rig.exec(&(loss.by_ems)("person_id <= 30")).await;
    held(&bed, 30).await;
    assert_eq!(lost(), BTreeSet::new(), "{name}");
    assert_eq!(bed.counters(target).writes_applied(), writes, "{name}: held before the first call");

    // What takes nothing away goes on: new content, and somebody new.
    bed.rig.exec("update ems.person set last_name = last_name || ' A' where id > 40").await;
    held(&bed, 30).await;
    assert!(bed.counters(target).writes_applied() >= writes + 20, "{name}");
    assert_eq!(lost(), BTreeSet::new(), "{name}");

    let approved = bed.json(&["target", "approve", name, "--json"]).await;
    assert_eq!(decided(&approved), 30, "{name}: {approved}");
    bed.rig.settled().await;
    assert_eq!(lost(), (1..=30).collect(), "{name}: exactly these");

    // One by itself is nothing that anybody needs to look at.
    bed.rig.exec(&(loss.by_ems)("person_id = 35")).await;
    bed.rig.settled().await;
    assert_eq!(lost(), (1..=30).chain([35]).collect(), "{name}");
    // What was approved is over: the next burst is held again.
    bed.rig.exec(&(loss.by_ems)("person_id > 35")).await;
    held(&bed, 25).await;
    assert_eq!(lost().len(), 31, "{name}");
    assert_eq!(bed.violations(target), []);
    running.stop().await;
}

/// How many records a decision concerned.
fn decided(document: &Value) -> i64 {
    ["deletes", "lessens"].iter().map(|kind| document[kind].as_i64().unwrap()).sum()
}

/// Nothing changed in the EMS: somebody installed a view that shows less of most.
async fn a_mapping_is_held(loss: &Loss) {
    let bed = guarded(loss).await;
    let running = bed.rig.start(&CONSUMING);
    bed.populate(PEOPLE).await;
    bed.rig.settled().await;
    let (target, name) = (loss.target, loss.target.name());
    let writes = bed.counters(target).writes_applied();
    remap(&bed, loss).await;
    bed.json(&["sweep", "outbound", "--target", name, "--json"]).await;
    held(&bed, 36).await;
    assert_eq!((loss.lost)(&bed), BTreeSet::new(), "{name}");
    assert_eq!(bed.counters(target).writes_applied(), writes, "{name}: held before the first call");
    let approved = bed.json(&["target", "approve", name, "--json"]).await;
    assert_eq!(decided(&approved), 36, "{name}: {approved}");
    bed.rig.settled().await;
    let expected = (1..=PEOPLE).filter(|id| id % 5 < 3).collect();
    assert_eq!((loss.lost)(&bed), expected, "{name}: exactly these");
    running.stop().await;
}

/// Replaces the view by one that says of three in five what the loss says.
async fn remap(bed: &Bed, loss: &Loss) {
    let view = loss.view;
    let sql = format!(
        "select attname::text, format_type(atttypid, atttypmod) from pg_attribute
         where attrelid = 'sync.{view}'::regclass and attnum > 0 order by attnum"
    );
    let columns = bed.rig.ems.query(&sql, &[]).await.unwrap();
    let columns: Vec<String> = columns
        .iter()
        .map(|row| {
            let (name, of_type): (String, String) = (row.get(0), row.get(1));
            match loss.columns.iter().find(|(changed, _)| *changed == name) {
                Some((_, value)) => {
                    format!(
                        "(case when id % 5 < 3 then {value} else {name} end)::{of_type} as {name}"
                    )
                }
                None => name,
            }
        })
        .collect();
    let definition = format!("select pg_get_viewdef('sync.{view}')");
    let definition: String = bed.rig.ems.query_one(&definition, &[]).await.unwrap().get(0);
    let (columns, definition) = (columns.join(", "), definition.trim_end_matches(';'));
    let shown = loss.shown;
    bed.rig
        .exec(&format!(
            "create or replace view sync.{view} as select {columns} from ({definition}) was where {shown}"
        ))
        .await;
}

macro_rules! each {
    ($($module:ident: $loss:expr;)*) => {$(
        mod $module {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_mass_loss_is_held_before_the_first_call_and_an_approval_lets_exactly_it_through() {
                a_mass_loss_is_held(&$loss).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_mapping_that_takes_from_most_is_held_before_the_first_call() {
                a_mapping_is_held(&$loss).await;
            }
        }
    )*};
}

each! {
    channels_at_mautic: MAUTIC;
    lists_at_mailchimp: MAILCHIMP_LIST;
    the_channel_at_mailchimp: MAILCHIMP_CHANNEL;
    registrations_at_runsignup: RUNSIGNUP;
    numbers_at_chatwoot: CHATWOOT;
}

/// Whoever says nothing more of a channel has withdrawn nothing, and a view that takes the place of ours without `consents`
/// is not trusted with anybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_is_gone_is_no_loss_and_a_view_without_consents_is_held_in_whole() {
    let bed = guarded(&MAUTIC).await;
    let running = bed.rig.start(&CONSUMING);
    bed.populate(PEOPLE).await;
    bed.rig.settled().await;
    bed.rig.exec("delete from ems.contact_preference where channel = 'SMS'").await;
    bed.rig.settled().await;
    assert_eq!(bed.rig.count("select count(*) from sync.guard_decision").await, 0);
    let writes = bed.counters(Target::Mautic).writes_applied();
    bed.rig
        .exec(
            "drop view sync.mautic_person;
             create view sync.mautic_person as
             select p.id, p.modified_on, '{}'::text[] as parents, p.title, p.first_name, p.last_name, p.email, p.phone, p.city,
                    p.postal_code, p.country, p.language, false as email_opted_in, p.modified_on as email_preference_on,
                    false as sms_opted_in, p.modified_on as sms_preference_on
             from ems.person p",
        )
        .await;
    bed.json(&["sweep", "outbound", "--target", "mautic", "--json"]).await;
    held(&bed, PEOPLE).await;
    assert_eq!(bed.counters(Target::Mautic).writes_applied(), writes);
    running.stop().await;
}
