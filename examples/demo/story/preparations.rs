//! Before the race: the event is announced, and runners enter it.

use anyhow::Result;

use crate::runners::Runner;
use crate::screen::{count, counted, took};
use crate::stage::{Stage, per_second};

/// One example each.
const SHOWN_LANGUAGES: [&str; 8] = ["zu", "en", "ki", "pl", "uk", "ar", "ja", "vi"];

pub(super) async fn event_announced(stage: &mut Stage) -> Result<()> {
    stage.screen.step("An event is announced");
    let mark = stage.tagserver.mark().await?;
    let change = stage.ems.announce().await?;
    let day = stage
        .ems
        .text("select to_char(start_date_time at time zone timezone, 'FMDD FMMonth YYYY') from ems.event")
        .await?;
    stage.screen.say(&format!(
        "The Umkhomazi Striders invite to the Umkhomazi River Marathon on {day}: marathon, half marathon, \
         10 km and 5 km, each with the start groups A to D."
    ));
    stage.settle().await?;
    let (writes, after) = stage.outcome(mark, &change).await?;
    stage.screen.figure(
        &format!(
            "{} in one transaction; at TagServer, parents first, after",
            counted(change.rows, "row", "rows")
        ),
        &took(after),
    );
    stage.screen.check(
        writes.rows == change.rows,
        "Rows written at TagServer",
        &count(writes.rows),
    );
    Ok(())
}

pub(super) async fn runners_enter(stage: &mut Stage) -> Result<()> {
    stage.screen.step(&format!("{} runners enter", count(u64::try_from(stage.runners)?)));
    let runners = stage.entries.next(stage.runners);
    introduce(stage, &runners);
    let mark = stage.tagserver.mark().await?;
    let change = stage.ems.register(&runners).await?;
    stage.load(&change).await?;
    let (writes, after) = stage.outcome(mark, &change).await?;
    let screen = &mut stage.screen;
    screen.figure(
        "People, registrations, group places, tags: one transaction, rows",
        &count(change.rows),
    );
    screen.figure("The EMS was busy with it, triggers included, for", &took(change.took));
    screen.figure("From the commit to TagServer's last answer", &took(after));
    let build = if cfg!(debug_assertions) { " (a debug build)" } else { "" };
    screen.figure(&format!("Rows per second{build}"), &per_second(writes.rows, after));
    screen.figure(
        &format!("Write requests, {} of them bulk", count(writes.bulk)),
        &count(writes.requests),
    );
    screen.check(writes.rows == change.rows, "Rows written at TagServer", &count(writes.rows));
    super::everywhere::who_is_where(stage).await
}

/// Who they are.
fn introduce(stage: &mut Stage, runners: &[Runner]) {
    let shared = |runner: &&Runner| {
        runner.email.is_some()
            && runners.iter().filter(|other| other.email == runner.email).count() > 1
    };
    let counted_if = |holds: &dyn Fn(&&Runner) -> bool| {
        count(u64::try_from(runners.iter().filter(holds).count()).unwrap_or(u64::MAX))
    };
    stage.screen.say(&format!(
        "{} of them give an e-mail address, {} share it with their family: only these are known to Mautic, MailChimp \
         and Chatwoot, and all go to TagServer. Bibs have leading zeros. Names come in many scripts, {} of them in \
         decomposed Unicode:",
        counted_if(&|runner| runner.email.is_some()),
        counted_if(&shared),
        counted_if(&|runner| runner.is_decomposed()),
    ));
    for language in SHOWN_LANGUAGES {
        if let Some(runner) = runners.iter().rev().find(|runner| runner.language == language) {
            stage.screen.line(&format!("      {}  {}", runner.bib, runner.name()));
        }
    }
}
