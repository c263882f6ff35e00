//! The end: everything is compared, the worker is asked how it sees things, and on a terminal it stays up.

use anyhow::Result;
use ems_sync_remotes::tagserver::Resource;

use crate::comparison::{Comparison, Tally};
use crate::screen::count;
use crate::stage::Stage;
use crate::worker::API_TOKEN;

pub(super) async fn compared(stage: &mut Stage) -> Result<()> {
    stage.screen.step("EMS and TagServer are compared, field by field");
    let comparison = Comparison::of(&stage.ems, &stage.tagserver).await?;
    stage.screen.line(&head());
    for (resource, tally) in &comparison.tallies {
        stage.screen.line(&row(name(*resource), tally));
    }
    stage.screen.line(&row("all", &comparison.total()));
    for difference in comparison.differences.iter().take(20) {
        stage.screen.note(difference);
    }
    stage.screen.check(
        comparison.agrees(),
        "They agree: fields compared",
        &count(comparison.fields),
    );
    let counters = stage.tagserver.counters().await?;
    let violations = stage.tagserver.violations().await?;
    let number = count(u64::try_from(violations.len())?);
    stage.screen.check(violations.is_empty(), "Breaches of TagServer's contract", &number);
    for violation in violations.iter().take(10) {
        stage.screen.note(&format!("{} {}", violation.code, violation.detail));
    }
    let overlaps = counters.overlaps;
    stage.screen.check(
        overlaps == 0,
        "Writes of one row that were under way together",
        &count(overlaps),
    );
    let idle = stage.idle_writes;
    stage.screen.check(idle == 0, "Writes for changes that were none", &count(idle));
    stage.screen.figure("Requests in all", &count(counters.requests));

    stage.screen.step("How the worker sees it");
    for arguments in [["status"].as_slice(), &["explain", "--bib", "00042"]] {
        let text = stage.worker.run(arguments).await?;
        stage.screen.quote(&format!("ems-sync {}", arguments.join(" ")), &text);
        stage.screen.line("");
    }
    Ok(())
}

/// On a terminal, where somebody may want to look around.
pub(crate) fn stay_up(stage: &mut Stage) -> Result<()> {
    let (ops, control) =
        (stage.worker.ops_url().to_owned(), stage.tagserver.control_url().to_owned());
    let ems = stage.ems.url()?;
    stage.screen.title("Everything stays up until Ctrl-C");
    for (what, how) in [
        ("ready?", format!("curl {ops}/readyz")),
        ("metrics", format!("curl {ops}/metrics")),
        ("status", format!("curl -H 'Authorization: Bearer {API_TOKEN}' {ops}/api/v1/status")),
        ("TagServer", format!("curl {control}/_sim/rows/people")),
        ("EMS", format!("psql {ems}")),
    ] {
        stage.screen.line(&format!("    {what:<10} {how}"));
    }
    Ok(())
}

fn head() -> String {
    columns(
        "",
        &["EMS", "TagServer", "equal", "different", "missing", "orphaned", "doubled"]
            .map(str::to_owned),
    )
}

fn row(name: &str, tally: &Tally) -> String {
    let numbers = [
        tally.ems,
        tally.tagserver,
        tally.equal,
        tally.different,
        tally.missing,
        tally.orphaned,
        tally.doubled,
    ];
    columns(name, &numbers.map(count))
}

fn columns(name: &str, [a, b, c, d, e, f, g]: &[String; 7]) -> String {
    format!("    {name:<13}{a:>6}{b:>11}{c:>7}{d:>11}{e:>9}{f:>10}{g:>9}")
}

const fn name(resource: Resource) -> &'static str {
    match resource {
        Resource::Organisation => "organisations",
        Resource::Person => "people",
        Resource::Event => "events",
        Resource::Race => "races",
        Resource::StartGroup => "start groups",
        Resource::EventParticipant => "registrations",
        Resource::StartGroupParticipant => "group places",
        Resource::Tag => "tags",
    }
}
