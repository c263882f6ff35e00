//! What is ordinary: corrections, withdrawals, swapped chips, a start that is moved, and changes that are none.

use anyhow::{Context as _, Result};
use ems_sync_remotes::tagserver::Resource;
use ems_sync_remotes::{Effect, Entry};
use jiff::Timestamp;

use crate::remote::text;
use crate::screen::{count, counted, took};
use crate::stage::{Stage, since, within};

const LATENCY: &str = "From the commit to TagServer's answer";

pub(super) async fn name_corrected(stage: &mut Stage) -> Result<()> {
    stage.screen.step("A name is corrected");
    let id = person_with_bib(stage, "00042").await?;
    let before = full_name(stage, id).await?;
    let mark = stage.tagserver.mark().await?;
    let sql = format!("update ems.person set last_name = 'Mkhize-' || last_name where id = {id}");
    let change = stage.ems.change(&[&sql]).await?;
    let latency = stage.arrival(mark, &change, Resource::Person, id).await?;
    let after = full_name(stage, id).await?;
    stage.screen.say(&format!("Bib 00042: TagServer showed “{before}”, now it shows “{after}”."));
    stage.screen.figure(LATENCY, &took(latency));
    stage.settle().await
}

pub(super) async fn nothing_to_write(stage: &mut Stage) -> Result<()> {
    stage.screen.step("Changes that are none");
    stage.settle().await?;
    let mark = stage.tagserver.mark().await?;

    let before = stage.ems.captured().await?;
    let change = stage.ems.change(&["update ems.person set last_name = last_name"]).await?;
    let captured = stage.ems.captured().await? - before;
    stage.screen.figure("People saved as they were", &count(change.rows));
    stage.screen.check(captured == 0, "… that the worker is told of", &count(captured));

    let before = stage.ems.captured().await?;
    // Of those who entered first: the story goes on with the others' addresses.
    let first = stage.runners;
    let moved = format!(
        "update ems.person set email = 'new-' || email, medical_conditions = 'hay fever'
         where id % 7 = 0 and id <= {first}"
    );
    let change = stage
        .ems
        .change(&[
            &moved,
            "update ems.person set first_name = normalize(first_name, NFC), last_name = normalize(last_name, NFC)
             where (first_name, last_name) <> (normalize(first_name, NFC), normalize(last_name, NFC))
               and id % 7 > 0",
        ])
        .await?;
    stage.settle().await?;
    let looked_at = stage.ems.captured().await? - before;
    stage.screen.figure(
        "People with another e-mail address or medical note, which is none of TagServer's business, or with the \
         same name in another Unicode spelling",
        &count(change.rows),
    );
    stage.screen.check(looked_at == change.rows, "… that the worker looks at", &count(looked_at));

    let writes = stage.tagserver.writes_since(mark).await?;
    stage.idle_writes = writes.requests;
    stage.screen.check(
        writes.requests == 0,
        "Writes at TagServer for all of that",
        &count(writes.requests),
    );
    Ok(())
}

pub(super) async fn runner_withdraws(stage: &mut Stage) -> Result<()> {
    stage.screen.step("A runner withdraws");
    let sql = "select id from ems.event_participant where number = '00107'";
    let id = stage.ems.number(sql).await?;
    let mark = stage.tagserver.mark().await?;
    let sql = format!("update ems.event_participant set status = 'WITHDRAWN' where id = {id}");
    let change = stage.ems.change(&[&sql]).await?;
    let latency = stage.arrival(mark, &change, Resource::EventParticipant, id).await?;
    let row = stage.tagserver.row(Resource::EventParticipant, id).await?.context("It is gone")?;
    stage.screen.figure(LATENCY, &took(latency));
    let status = text(&row, "status").unwrap_or("none");
    stage.screen.check(status == "WITHDRAWN", "Bib 00107 at TagServer", status);
    stage.settle().await
}

pub(super) async fn chip_swapped(stage: &mut Stage) -> Result<()> {
    stage.screen.step("A chip is swapped");
    stage.screen.say(
        "A chip fails at the start. In one transaction the old one ends and a new one is issued.",
    );
    let old = stage.ems.number("select min(id) from ems.tag where bib_number > '00300'").await?;
    let mark = stage.tagserver.mark().await?;
    let change = stage
        .ems
        .change(&[
            &format!("update ems.tag set valid_to = now() where id = {old}"),
            &format!(
                "insert into ems.tag (person_id, number, barcode, uuid, bib_number, valid_from)
                 select person_id, 'UM-SPARE-01', barcode, gen_random_uuid(), bib_number, valid_to
                 from ems.tag where id = {old}"
            ),
        ])
        .await?;
    let new = stage.ems.number("select id from ems.tag where number = 'UM-SPARE-01'").await?;
    let ended = stage.arrival(mark, &change, Resource::Tag, old).await?;
    let issued = stage.arrival(mark, &change, Resource::Tag, new).await?;
    stage
        .screen
        .figure("From the commit: TagServer knows that the old one has ended", &took(ended));
    stage.screen.figure("From the commit: TagServer knows the new one", &took(issued));
    let order = stage.tagserver.until(mark, |entries| applied_in_order(entries, old, new)).await?;
    stage.screen.check(
        order,
        "TagServer heard of the old one first",
        if order { "yes" } else { "no" },
    );
    stage.settle().await
}

pub(super) async fn start_postponed(stage: &mut Stage) -> Result<()> {
    stage.screen.step("Fog: the start is postponed, and entries are confirmed");
    stage
        .screen
        .say("Event, races and start groups move by 15 minutes; all who have paid are confirmed.");
    let mark = stage.tagserver.mark().await?;
    let change = stage
        .ems
        .change(&[
            "update ems.event set start_date_time = start_date_time + interval '15 minutes'",
            "update ems.race set start_time = start_time + interval '15 minutes', status = 'STAGING'",
            "update ems.start_group set start_time = start_time + interval '15 minutes'",
            "update ems.event_participant set status = 'CONFIRMED' where paid and status = 'REGISTERED'",
        ])
        .await?;
    stage.load(&change).await?;
    let (writes, after) = stage.outcome(mark, &change).await?;
    stage.screen.figure("Rows changed in one transaction", &count(change.rows));
    stage.screen.figure("From the commit to TagServer's last answer", &took(after));
    stage.screen.figure(
        &format!("Write requests, {} of them bulk", count(writes.bulk)),
        &count(writes.requests),
    );
    stage.screen.check(
        writes.rows == change.rows,
        "Rows written at TagServer",
        &count(writes.rows),
    );
    Ok(())
}

pub(super) async fn group_dissolved(stage: &mut Stage) -> Result<()> {
    stage.screen.step("A start group is dissolved");
    let of_group = "from ems.start_group g join ems.race r on r.id = g.race_id
                    where r.name = 'Half marathon' and g.name = 'D'";
    let id = stage.ems.number(&format!("select g.id {of_group}")).await?;
    let places =
        format!("select count(*) from ems.start_group_participant where start_group_id = {id}");
    let places = stage.ems.count(&places).await?;
    stage.screen.say(&format!(
        "Group D of the half marathon is deleted, and with it, by cascade, {}.",
        counted(places, "place", "places")
    ));
    let mark = stage.tagserver.mark().await?;
    let change =
        stage.ems.change(&[&format!("delete from ems.start_group where id = {id}")]).await?;
    let began = if is_held(stage).await? {
        let writes = stage.tagserver.writes_since(mark).await?;
        stage.screen.say(
            "That is more than two in a hundred of all records: the worker holds it until a person has decided.",
        );
        stage.screen.check(
            writes.rows == 0,
            "Rows deleted at TagServer by then",
            &count(writes.rows),
        );
        let began = Timestamp::now();
        let text = stage.worker.run(&["target", "approve", "tagserver"]).await?;
        stage.screen.quote("ems-sync target approve tagserver", &text);
        began
    } else {
        change.committed_on
    };
    stage.settle().await?;
    let writes = stage.tagserver.writes_since(mark).await?;
    let last = writes.last.context("Nothing was written")?;
    stage
        .screen
        .figure("Until TagServer's last answer, the group's own", &took(since(began, last)));
    let is_gone = stage.tagserver.row(Resource::StartGroup, id).await?.is_none();
    stage.screen.check(
        is_gone && writes.rows == places + 1,
        "Rows deleted at TagServer",
        &count(writes.rows),
    );
    Ok(())
}

/// Waits until the deletes are done, or held because they are too many.
async fn is_held(stage: &Stage) -> Result<bool> {
    let decided = "not exists (select from sync.outbox) and not exists (
        select from sync.record
        where owed_gen > done_gen and state <> 'held' and state_reason is distinct from 'waiting_for_child')";
    within("The deletes are done, or held", stage.ems.until(decided)).await?;
    Ok(stage.ems.count("select count(*) from sync.record where state = 'held'").await? > 0)
}

pub(super) async fn person_with_bib(stage: &Stage, bib: &str) -> Result<i64> {
    stage
        .ems
        .number(&format!("select person_id from ems.event_participant where number = '{bib}'"))
        .await
}

/// As TagServer shows it.
async fn full_name(stage: &Stage, id: i64) -> Result<String> {
    let row = stage.tagserver.row(Resource::Person, id).await?.context("Not at TagServer")?;
    let part = |field| text(&row, field).unwrap_or_default();
    Ok(format!("{} {}", part("firstName"), part("lastName")))
}

/// Whether TagServer applied a write of tag `first` before one of tag `second`; `None` until both are.
fn applied_in_order(entries: &[Entry], first: i64, second: i64) -> Option<bool> {
    let applied = |id: i64| {
        let id = id.to_string();
        entries.iter().find_map(|entry| {
            let place = entry.rows.iter().position(|row| {
                row.effect != Effect::Refused && row.external_id.as_deref() == Some(id.as_str())
            })?;
            (entry.resource.as_deref() == Some(Resource::Tag.segment()))
                .then_some((entry.applied_us, place))
        })
    };
    Some(applied(first)? < applied(second)?)
}
