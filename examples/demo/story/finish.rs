//! The end: everything is compared, the worker is asked how it sees things, and on a terminal it stays up.

use anyhow::{Context as _, Result};
use ems_sync_remotes::tagserver::Resource;
use serde_json::Value;

use crate::comparison::{Comparison, Tally};
use crate::screen::count;
use crate::stage::{Stage, title};
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
    Ok(())
}

/// Each target's own verification: the whole of it is read and compared with what the EMS wants there.
pub(super) async fn verified(stage: &mut Stage) -> Result<()> {
    stage.screen.step("ems-sync verify reads all five, and compares");
    let heads = ["matched", "missing", "different", "orphaned", "waiting"];
    stage.screen.line(&counts("", &heads.map(str::to_owned)));
    let (mut agreeing, mut ignored) = (0_u64, 0_u64);
    for target in ["tagserver", "mautic", "mailchimp", "runsignup", "chatwoot"] {
        let (code, text) = stage.worker.ask(&["verify", "--target", target, "--json"]).await?;
        let document: Value = serde_json::from_str(&text)
            .with_context(|| format!("`ems-sync verify --target {target}` failed: {text}"))?;
        let number = |name: &str| document.get(name).and_then(Value::as_u64).unwrap_or_default();
        // What RunSignup was told and ignores in silence is listed, and no difference that could be mended.
        let kept_there = if target == "runsignup" { number("ignored") } else { 0 };
        ignored += kept_there;
        let numbers = heads.map(|name| match name {
            "different" => number(name).saturating_sub(kept_there),
            _ => number(name),
        });
        stage.screen.line(&counts(title(target), &numbers.map(count)));
        let [matched, rest @ ..] = numbers;
        let agrees = code == Some(0) && matched > 0 && rest == [0; 4];
        agreeing += u64::from(agrees);
        if !agrees {
            for row in document.get("rows").and_then(Value::as_array).into_iter().flatten().take(10)
            {
                stage.screen.note(&row.to_string());
            }
        }
    }
    stage.screen.note(
        "“Matched” is also what is rightly not there: who shares somebody else's address, and who runs a race that is not \
         open at RunSignup.",
    );
    stage.screen.note(&format!(
        "{} registrations keep an e-mail address that people have changed since: RunSignup ignores the new one, and it is listed.",
        count(ignored)
    ));
    stage.screen.check(agreeing == 5, "Remotes that agree with the EMS", &count(agreeing));
    for remote in stage.platforms.all() {
        let violations = remote.violations().await?;
        let fact = format!("Breaches of {}'s contract", title(remote.name()));
        let number = count(u64::try_from(violations.len())?);
        stage.screen.check(violations.is_empty(), &fact, &number);
        for violation in violations.iter().take(10) {
            stage.screen.note(&format!("{} {}", violation.code, violation.detail));
        }
    }
    Ok(())
}

pub(super) async fn seen_by_the_worker(stage: &mut Stage) -> Result<()> {
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
    let platforms = stage.platforms.all();
    for (remote, rows) in
        platforms.into_iter().zip(["contacts", "members", "registrations", "contacts"])
    {
        let (what, url) = (title(remote.name()), remote.control_url());
        stage.screen.line(&format!("    {what:<10} curl {url}/_sim/rows/{rows}"));
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

fn counts(name: &str, [a, b, c, d, e]: &[String; 5]) -> String {
    format!("    {name:<13}{a:>10}{b:>11}{c:>13}{d:>12}{e:>11}")
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
