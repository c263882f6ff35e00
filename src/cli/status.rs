//! `ems-sync status`: the status document, once or again and again.

use std::io::IsTerminal as _;
use std::time::Duration;

use super::args::StatusArgs;
use super::table::{cell, instant, seconds, table};
use super::{Exit, adapters, output};
use crate::config::Config;
use crate::ops::status::{self, Status, StatusRow};
use crate::store::StoreError;
use crate::target::Target;

/// How long the broker is asked: whoever checks has time, and must not be told of a broker that is only busy.
const PATIENCE: Duration = Duration::from_secs(20);
/// The same of a watched one, which is shown again soon: a dead broker is told of, and keeps nobody from the rest.
const PATIENCE_WATCHED: Duration = Duration::from_secs(5);
/// How often a watched status is shown again.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// Clears a terminal and puts the cursor in its corner.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

pub(super) async fn status(config: &Config, args: StatusArgs) -> anyhow::Result<Exit> {
    let (store, publisher) = adapters(config, "status")?;
    let enabled = config.targets.enabled();
    let patience = if args.watch { PATIENCE_WATCHED } else { PATIENCE };
    let read = || status::document(&store, &publisher, &enabled, config.sweep, patience);
    if args.watch {
        return tokio::select! {
            result = watch(read, args.json) => result,
            interrupted = tokio::signal::ctrl_c() => Ok(interrupted.map(|()| Exit::Fine)?),
        };
    }
    let document = read().await?;
    show(&document, args.json, "")?;
    Ok(if args.check { checked(&document) } else { Exit::Fine })
}

/// Shows it until the program is ended. What can't be read now may be readable again soon.
async fn watch<F>(read: impl Fn() -> F, json: bool) -> anyhow::Result<Exit>
where
    F: Future<Output = Result<Status, StoreError>>,
{
    let clear = if std::io::stdout().is_terminal() { CLEAR } else { "" };
    let mut was_read = false;
    loop {
        match read().await {
            Ok(document) => show(&document, json, clear)?,
            Err(error) if was_read => {
                let error = crate::error_chain::chain(&error);
                tracing::warn!(error, "The status can't be read now; it is tried again");
            }
            Err(error) => return Err(error.into()),
        }
        was_read = true;
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

fn show(document: &Status, json: bool, before: &str) -> anyhow::Result<()> {
    if json {
        output::json(document)
    } else {
        output::text(&format!("{before}{}", shown(document)))
    }
}

fn checked(document: &Status) -> Exit {
    if document.needs_person.is_empty() { Exit::Fine } else { Exit::Failed }
}

/// A line about those of these that there are; nothing where there are none.
fn counted(target: Target, what: &str, told: &[(&str, i64)]) -> String {
    let told: Vec<_> =
        told.iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}")).collect();
    if told.is_empty() {
        return String::new();
    }
    format!("\n{target}: {what}: {}", told.join(", "))
}

fn shown(document: &Status) -> String {
    let heads = [
        "TARGET",
        "STATE",
        "REASON",
        "BREAKER",
        "OWED",
        "OLDEST",
        "QUEUES",
        "DEAD LETTERS",
        "LAST SWEEP",
        "INBOUND",
    ];
    let mut table = table(&heads);
    for row in &document.targets {
        table.add_row(cells(row));
    }
    let mut text = table.to_string();
    text.push('\n');
    for row in &document.targets {
        if let Some(detail) = &row.detail {
            text.push_str(&format!("\n{}: {}", row.target, cell(Some(detail))));
        }
    }
    for row in &document.targets {
        let told = [
            ("held", row.held - row.kept),
            ("kept by a person", row.kept),
            ("rejected", row.rejected),
            ("waiting", row.waiting),
        ];
        text.push_str(&counted(row.target, "records", &told));
        let inbound = &row.inbound;
        let told = [
            ("to decide", inbound.pending),
            ("waiting", inbound.waiting),
            ("held", inbound.held - inbound.kept_removals),
            ("kept by a person", inbound.kept_removals),
            ("rejected", inbound.rejected),
            ("conflicts", inbound.conflicts),
            ("consents held", inbound.held_consents),
        ];
        text.push_str(&counted(row.target, "inbound", &told));
        for reason in [&inbound.error, &inbound.held_reason].into_iter().flatten() {
            text.push_str(&format!("\n{}: inbound: {}", row.target, cell(Some(reason))));
        }
    }
    let outbox = document.outbox;
    if outbox.rows > 0 {
        let age = seconds(outbox.oldest_seconds);
        text.push_str(&format!("\nOutbox: {} changes, the oldest for {age}", outbox.rows));
    }
    for problem in &document.capture_problems {
        let (table, problem) = (cell(Some(&problem.table)), cell(Some(&problem.problem)));
        text.push_str(&format!("\nChanges of {table} are not all captured: {problem}"));
    }
    for needs in &document.needs_person {
        let whose = needs.target.map_or_else(String::new, |target| format!("{target}: "));
        text.push_str(&format!("\nNeeds a person: {whose}{}", needs.reason));
    }
    text
}

fn cells(row: &StatusRow) -> Vec<String> {
    vec![
        row.target.to_string(),
        row.state.name().to_owned(),
        row.reason.to_owned(),
        row.breaker.to_owned(),
        row.owed.to_string(),
        seconds(row.oldest_unsynced_seconds),
        row.queues.words(),
        row.dead_letters.to_string(),
        instant(row.last_sweep.outbound),
        instant(row.last_sweep.inbound),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::status::{NeedsPerson, OutboxBacklog};

    #[test]
    fn a_check_fails_exactly_when_something_needs_a_person() {
        let mut document = Status {
            targets: Vec::new(),
            outbox: OutboxBacklog { rows: 3, oldest_seconds: Some(1.0) },
            capture_problems: Vec::new(),
            needs_person: Vec::new(),
        };
        assert_eq!(checked(&document), Exit::Fine);
        document.needs_person.push(NeedsPerson { target: None, reason: "held" });
        assert_eq!(checked(&document), Exit::Failed);
        let text = shown(&document);
        assert!(text.contains("3 changes") && text.contains("Needs a person: held"), "{text}");
    }
}
