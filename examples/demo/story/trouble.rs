//! What goes wrong: bad data, TagServer away, a bad line, triggers switched off, a killed worker.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ems_sync_remotes::tagserver::Resource;
use ems_sync_remotes::{Fault, Garbage, Rule};
use jiff::Timestamp;
use serde_json::Value;

use super::race_day::person_with_bib;
use crate::comparison::Comparison;
use crate::screen::{count, counted, took};
use crate::stage::{Stage, since, within};

pub(super) async fn name_rejected(stage: &mut Stage) -> Result<()> {
    stage.screen.step("A runner whom TagServer rejects");
    stage
        .screen
        .say("Somebody enters with a blank first name. The EMS takes it, TagServer does not.");
    let mut runners = stage.entries.next(1);
    let runner = runners.first_mut().context("Nobody")?;
    " ".clone_into(&mut runner.first_name);
    let bib = runner.bib.clone();
    let change = stage.ems.register(&runners).await?;
    let id = person_with_bib(stage, &bib).await?;
    let person = format!(
        "from sync.record where target = 'tagserver' and entity_type = 'person' and entity_id = {id}"
    );
    let is_known = format!(
        "exists (select {person} and state = 'rejected') and exists (select from sync.record r
         join ems.event_participant p on p.id = r.entity_id
         where r.target = 'tagserver' and r.entity_type = 'event_participant' and p.person_id = {id} and r.state = 'waiting')"
    );
    within("The person is rejected, and the registration waits", stage.ems.until(&is_known))
        .await?;
    let error = stage.ems.text(&format!("select last_error {person}")).await?;
    stage.screen.figure("The person", "rejected");
    stage.screen.figure("The registration and what hangs on it", "waiting");
    stage.screen.note(&format!("TagServer's reason: {error}"));
    let mark = stage.tagserver.mark().await?;
    let sql = format!("update ems.person set first_name = 'Nomvula' where id = {id}");
    let correction = stage.ems.change(&[&sql]).await?;
    stage.settle().await?;
    let (writes, after) = stage.outcome(mark, &correction).await?;
    stage.screen.say("The name is filled in. That is all it takes:");
    let fact = "From the correction to the last answer, with all that waited";
    stage.screen.figure(fact, &took(after));
    stage.screen.check(
        writes.rows == change.rows,
        "Rows written at TagServer",
        &count(writes.rows),
    );
    Ok(())
}

pub(super) async fn tagserver_offline(stage: &mut Stage) -> Result<()> {
    stage.screen.step("TagServer is offline, and comes back");
    stage.tagserver.set_offline(true).await?;
    let change = stage
        .ems
        .change(&["update ems.tag set barcode = barcode || 'X' where id % 40 = 0"])
        .await?;
    let runners = stage.entries.next(60);
    let rows = change.rows + stage.ems.register(&runners).await?.rows;
    let is_open =
        "exists (select from sync.target where target = 'tagserver' and breaker = 'open')";
    within("The breaker is open", stage.ems.until(is_open)).await?;
    let noticed = since(change.committed_on, Timestamp::now());
    stage.screen.figure("Meanwhile, in the EMS, rows change", &count(rows));
    stage.screen.figure("The worker stops trying: its breaker opens after", &took(noticed));
    // All of it has been routed, and none of it can have been done.
    within("The outbox is empty", stage.ems.until("not exists (select from sync.outbox)")).await?;
    let owed = stage
        .ems
        .count("select count(*) from sync.tagserver_record where owed_gen > done_gen")
        .await?;
    stage.screen.check(owed == rows, "Rows that are owed to TagServer, in Postgres", &count(owed));
    let mark = stage.tagserver.mark().await?;
    stage.tagserver.set_offline(false).await?;
    let back_on = Timestamp::now();
    stage.settle().await?;
    let writes = stage.tagserver.writes_since(mark).await?;
    let last = writes.last.context("Nothing was written")?;
    stage.screen.figure("From TagServer's return to its last answer", &took(since(back_on, last)));
    stage.screen.check(writes.rows == rows, "Rows written at TagServer", &count(writes.rows));
    Ok(())
}

pub(super) async fn bad_line(stage: &mut Stage) -> Result<()> {
    stage.screen.step("A bad line");
    stage.screen.say(
        "Forty people enter at the venue. TagServer applies a request and its answer is lost; it answers 503, asks \
         for a pause (429), and answers with half a document.",
    );
    stage
        .tagserver
        .script(&[
            Rule::new(Fault::CommitThenDrop).resource(Resource::Person).writes(),
            Rule::new(Fault::status(503)).resource(Resource::EventParticipant).writes(),
            Rule::new(Fault::throttled(1)).resource(Resource::StartGroupParticipant).writes(),
            Rule::new(Fault::Garbage { what: Garbage::TruncatedJson, applied: true })
                .resource(Resource::Tag)
                .writes(),
        ])
        .await?;
    let before = stage.tagserver.counters().await?;
    let mark = stage.tagserver.mark().await?;
    let runners = stage.entries.next(40);
    let change = stage.ems.register(&runners).await?;
    stage.settle().await?;
    let after = stage.tagserver.counters().await?;
    let faults = after.faults.values().sum::<u64>() - before.faults.values().sum::<u64>();
    let (_, took_all) = stage.outcome(mark, &change).await?;
    stage.screen.check(faults == 4, "Faults that struck", &count(faults));
    stage
        .screen
        .figure("Look-ups instead of blind repetitions", &count(after.lookups - before.lookups));
    stage.screen.figure("From the commit to TagServer's last answer to a write", &took(took_all));
    agreement(stage, change.rows).await
}

pub(super) async fn triggers_off(stage: &mut Stage) -> Result<()> {
    stage.screen.step("The triggers are off for a while");
    stage.screen.say(
        "An import switches the sync triggers off. Nobody tells the worker what happens then.",
    );
    stage.ems.administer(&switch_triggers("disable")).await?;
    let told = stage.ems.captured().await?;
    let mark = stage.tagserver.mark().await?;
    let entered = stage.ems.register(&stage.entries.next(10)).await?;
    let sql = "update ems.person set last_name = last_name || ' Nkosi' where id % 80 = 1";
    let renamed = stage.ems.change(&[sql]).await?;
    let first = stage.runners.min(2_000);
    let of_three = format!("from ems.person where id % 700 = 5 and id <= {first}");
    let gone = stage.ems.count(&format!("select count(*) {of_three}")).await?;
    let before = stage.ems.count(ALL_ROWS).await?;
    stage.ems.change(&[&format!("delete {of_three}")]).await?;
    let deleted = before - stage.ems.count(ALL_ROWS).await?;
    let people = |n| counted(n, "person", "people");
    stage.screen.figure(&format!("{} enter: rows", people(10)), &count(entered.rows));
    stage.screen.figure("People get another name", &count(renamed.rows));
    stage.screen.figure(
        &format!("{} are deleted, with all that is theirs: rows", people(gone)),
        &count(deleted),
    );
    let status: Value = serde_json::from_str(&stage.worker.run(&["status", "--json"]).await?)?;
    let problems = status.get("capture_problems").and_then(Value::as_array).map_or(0, Vec::len);
    let problems = u64::try_from(problems)?;
    stage.screen.figure("ems-sync status reports tables with a disabled trigger", &count(problems));
    let told = stage.ems.captured().await? - told;
    stage.screen.check(told == 0, "Changes that the worker is told of", &count(told));

    stage.ems.administer(&switch_triggers("enable always")).await?;
    stage.screen.say(
        "The triggers are back, and the sweep looks. By itself it does so every five minutes; now:",
    );
    let began = Timestamp::now();
    let table = stage.worker.run(&["sweep", "outbound"]).await?;
    stage.screen.quote("ems-sync sweep outbound", &table);
    stage.settle().await?;
    let writes = stage.tagserver.writes_since(mark).await?;
    let last = writes.last.context("Nothing was written")?;
    stage.screen.figure(
        "From the start of the sweep to TagServer's last answer",
        &took(since(began, last)),
    );
    agreement(stage, entered.rows + renamed.rows + deleted).await
}

pub(super) async fn worker_killed(stage: &mut Stage) -> Result<()> {
    stage.screen.step("The worker is killed in the middle of a load");
    let runners = stage.entries.next(400);
    // A slower TagServer, so that there is a middle.
    stage.tagserver.set_latency(150).await?;
    let before = stage.rows_written().await?;
    let load = stage.tagserver.mark().await?;
    let lookups = stage.tagserver.counters().await?.lookups;
    let change = stage.ems.register(&runners).await?;
    let quarter = change.rows / 4;
    within("A quarter of the load is at TagServer, and requests are under way", async {
        loop {
            let is_quarter = stage.rows_written().await? - before >= quarter;
            let progress = stage.tagserver.progress().await?;
            if is_quarter && progress.started > progress.finished {
                return Ok(());
            }
            stage.tagserver.moves_on(progress.finished, Duration::from_millis(20)).await?;
        }
    })
    .await?;
    stage.worker.kill().await?;
    // Postgres ends what the dead worker had asked of it.
    let is_alone = "not exists (select from pg_stat_activity where datname = current_database()
        and backend_type = 'client backend' and pid <> pg_backend_pid())";
    within("The dead worker's sessions are over", stage.ems.until(is_alone)).await?;
    let there = stage.rows_written().await? - before;
    let backlog = stage.ems.backlog().await?;
    stage.screen.say(&format!(
        "A school enters {} pupils. SIGKILL strikes the worker while it is at work: of {}, {} are at TagServer.",
        runners.len(),
        counted(change.rows, "row", "rows"),
        count(there)
    ));
    stage.screen.check(backlog.left > 0, "Changes that it leaves behind", &count(backlog.left));
    let ready = stage.worker.start().await?;
    stage.tagserver.set_latency(0).await?;
    stage.screen.figure("A new worker is ready", &took(ready));
    let id = person_with_bib(stage, "00008").await?;
    let mark = stage.tagserver.mark().await?;
    let sql = format!("update ems.person set last_name = last_name || ' Zulu' where id = {id}");
    let correction = stage.ems.change(&[&sql]).await?;
    let latency = stage.arrival(mark, &correction, Resource::Person, id).await?;
    stage
        .screen
        .figure("A correction elsewhere, from its commit to TagServer's answer", &took(latency));
    let leased = backlog.leased;
    stage.screen.check(leased > 0, "Rows that the dead worker had in its hands", &count(leased));
    stage.screen.say(
        "Its last requests may still be under way, so nobody touches those rows until its leases are over, 30 s \
         after they were taken.",
    );
    stage.settle().await?;
    let again = stage.tagserver.repeated_since(load).await?;
    let all = since(change.committed_on, Timestamp::now());
    stage.screen.figure("From the commit until all was done", &took(all));
    let lookups = stage.tagserver.counters().await?.lookups - lookups;
    stage.screen.figure("Rows of unknown fate that were looked up first", &count(lookups));
    stage.screen.figure("… and written a second time", &count(again));
    agreement(stage, change.rows).await
}

const ALL_ROWS: &str =
    "select (select count(*) from ems.person) + (select count(*) from ems.event_participant)
    + (select count(*) from ems.start_group_participant) + (select count(*) from ems.tag)";

/// Switches the triggers of ems-sync, and no other.
fn switch_triggers(how: &str) -> String {
    format!(
        "do $$
         declare t record;
         begin
             for t in select tgrelid::regclass as watched, tgname from pg_trigger join pg_proc f on f.oid = tgfoid
                      where f.pronamespace = 'sync'::regnamespace
             loop
                 execute format('alter table %s {how} trigger %I', t.watched, t.tgname);
             end loop;
         end $$"
    )
}

/// Nothing lost, nothing doubled, nothing different: among all rows, these included.
async fn agreement(stage: &mut Stage, rows: u64) -> Result<()> {
    let comparison = Comparison::of(&stage.ems, &stage.tagserver).await?;
    let total = comparison.total();
    stage.screen.check(
        comparison.agrees(),
        "All rows compared, these included; equal",
        &count(total.equal),
    );
    if !comparison.agrees() {
        let wrong = total.missing + total.orphaned + total.doubled + total.different;
        stage.screen.figure(&format!("… that are not, of {} changed", count(rows)), &count(wrong));
        for difference in comparison.differences.iter().take(10) {
            stage.screen.note(difference);
        }
    }
    Ok(())
}
