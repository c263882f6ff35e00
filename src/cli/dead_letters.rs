//! `ems-sync dead-letters …`: what needs a person, and what a person does about it. Reads and writes Postgres; the queue of
//! dead letters follows within half a minute.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use tokio::time::MissedTickBehavior;

use super::args::{ChangeArgs, DeadLetterArgs, DeadLettersCommand, ListArgs, ReplayArgs};
use super::table::{cell, instant, table};
use super::target::by_here;
use super::{Exit, MORE, adapters, bar, output};
use crate::broker::Publisher;
use crate::config::Config;
use crate::limits;
use crate::ops::dead_letters::Row;
use crate::ops::dead_letters::change::{self, Pages};
use crate::ops::explain::Attempt;
use crate::store::{DeadLetter, Filter, Store};

/// What a change did, or would do.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Changed {
    /// Open dead letters that match.
    matched: usize,
    /// Those that were changed; that would be, in a dry run.
    changed: usize,
    /// Those that were put back already and have not failed since.
    already_replayed: usize,
    /// Messages that could not be decoded: there is nothing to put back.
    not_replayable: usize,
    dry_run: bool,
    rows: Vec<Row>,
}

impl Changed {
    fn add(&mut self, letters: Vec<DeadLetter>) {
        self.changed += letters.len();
        self.rows.extend(letters.into_iter().map(Row::from));
    }
}

/// A dead letter with its last attempts.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    row: Row,
    last_attempts: Vec<Attempt>,
}

pub(super) async fn dead_letters(
    config: &Config,
    command: DeadLettersCommand,
) -> anyhow::Result<Exit> {
    let (store, publisher) = adapters(config, "dead-letters")?;
    match command {
        DeadLettersCommand::List(args) => list(&store, args).await,
        DeadLettersCommand::Show(args) => show(&store, args).await,
        DeadLettersCommand::Replay(args) => replay(&store, &publisher, args).await,
        DeadLettersCommand::Discard(args) => discard(&store, args).await,
    }
}

async fn list(store: &Store, ListArgs { which, closed }: ListArgs) -> anyhow::Result<Exit> {
    let filter = Filter { closed_too: closed, ..filter(&which) };
    let most = which.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut rows: Vec<Row> =
        all(store, &filter, which.limit.map(|limit| limit.saturating_add(1))).await?;
    let more = if rows.len() > most { MORE } else { "" };
    rows.truncate(most);
    if which.json {
        output::json(&rows)?;
    } else {
        output::text(&format!("{}{more}", listed(&rows)))?;
    }
    Ok(Exit::Fine)
}

async fn show(store: &Store, args: DeadLetterArgs) -> anyhow::Result<Exit> {
    let filter = Filter { closed_too: args.number.is_some(), ..filter(&args) };
    let mut shown = Vec::new();
    let most = args.limit.unwrap_or(SHOWN_UNLESS_LIMITED);
    let mut rows: Vec<Row> = all(store, &filter, Some(most.saturating_add(1))).await?;
    let at_most = usize::try_from(most).unwrap_or(usize::MAX);
    let more = if rows.len() > at_most { MORE } else { "" };
    rows.truncate(at_most);
    for row in rows {
        let attempts = match (row.entity, row.id) {
            (Some(entity_type), Some(id)) => {
                let entity = crate::entity::EntityRef::new(entity_type, id);
                store.attempts(row.target, entity, limits::EXPLAIN_ATTEMPTS).await?
            }
            _ => Vec::new(),
        };
        let last_attempts = attempts.into_iter().map(Attempt::from).collect();
        shown.push(Shown { row, last_attempts });
    }
    if args.json {
        output::json(&shown)?;
    } else if !shown.is_empty() {
        let texts: Vec<String> = shown.iter().map(in_full).collect();
        output::text(&format!("{}{more}", texts.join("\n\n")))?;
    } else if args.number.is_none() {
        output::text("No dead letter matches.")?;
    }
    if let Some(number) = args.number.filter(|_| shown.is_empty()) {
        anyhow::bail!(
            "There is no dead letter {number}, or nothing else of what was asked for is true of it"
        );
    }
    Ok(Exit::Fine)
}

/// `show` without `--limit` shows so many in full.
const SHOWN_UNLESS_LIMITED: u32 = 20;

/// Puts back page by page, no faster than asked for. Each page is committed before its deliveries are published, so
/// whoever repeats an interrupted replay goes on where it ended.
async fn replay(store: &Store, publisher: &Publisher, args: ReplayArgs) -> anyhow::Result<Exit> {
    let ReplayArgs { change: ChangeArgs { which, dry_run }, rate } = args;
    let mut changed = Changed { dry_run, ..Changed::default() };
    let by = by_here();
    let page = rate.clamp(1, 100);
    let mut pace = tokio::time::interval(Duration::from_secs(1) * page / rate);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let there = store.count_dead_letters(&filter(&which)).await?;
    (changed.already_replayed, changed.not_replayable) = (there.put_back, there.never);
    let beat = bar::beat();
    if beat.is_watched() && !dry_run {
        let all = there.yet;
        let most = which.limit.map_or(all, |limit| all.min(usize::try_from(limit).unwrap_or(all)));
        beat.begin("putting back", i64::try_from(most).ok());
    }
    // What was put back before, or never can be, does not count towards the limit: whoever repeats this goes on where it ended.
    let fresh = Filter { to_replay: true, ..filter(&which) };
    let mut letters = Pages::new(store, fresh, which.limit);
    while let Some(page) = letters.next(page).await? {
        if dry_run {
            changed.add(page);
            continue;
        }
        pace.tick().await;
        let numbers: Vec<i64> = page.iter().map(|letter| letter.number).collect();
        let done = change::put_back(store, publisher, &numbers, &by).await?;
        beat.add(numbers.len());
        changed.add(page.into_iter().filter(|letter| done.contains(&letter.number)).collect());
    }
    changed.matched = changed.changed + changed.already_replayed + changed.not_replayable;
    told(&changed, "put back", which.json)
}

async fn discard(store: &Store, args: ChangeArgs) -> anyhow::Result<Exit> {
    let ChangeArgs { which, dry_run } = args;
    let by = by_here();
    let mut changed = Changed { dry_run, ..Changed::default() };
    let mut letters = Pages::new(store, filter(&which), which.limit);
    while let Some(page) = letters.next(PAGE).await? {
        changed.matched += page.len();
        let numbers: Vec<i64> = page.iter().map(|letter| letter.number).collect();
        let done: BTreeSet<i64> = if dry_run {
            numbers.into_iter().collect()
        } else {
            change::discard(store, &numbers, &by).await?
        };
        changed.add(page.into_iter().filter(|letter| done.contains(&letter.number)).collect());
    }
    told(&changed, "discarded", which.json)
}

/// Dead letters that are read at once.
const PAGE: u32 = 1_000;

async fn all(store: &Store, filter: &Filter, limit: Option<u32>) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut pages = Pages::new(store, filter.clone(), limit);
    while let Some(page) = pages.next(PAGE).await? {
        rows.extend(page.into_iter().map(Row::from));
    }
    Ok(rows)
}

fn filter(args: &DeadLetterArgs) -> Filter {
    Filter {
        target: args.target,
        entity: args.entity,
        id: args.id,
        number: args.number,
        reason: args.reason.map(|reason| reason.name().to_owned()),
        error: args.error.clone(),
        older_than: args.older_than,
        ..Filter::default()
    }
}

fn told(changed: &Changed, done: &str, json: bool) -> anyhow::Result<Exit> {
    if json {
        output::json(changed)?;
    } else {
        output::text(&in_words(changed, done))?;
    }
    Ok(Exit::Fine)
}

fn in_words(changed: &Changed, done: &str) -> String {
    let would = if changed.dry_run { "would be " } else { "" };
    let mut text = format!("{} matched, {} {would}{done}", changed.matched, changed.changed);
    if changed.already_replayed > 0 {
        let were = if changed.already_replayed == 1 { "was" } else { "were" };
        text.push_str(&format!(
            ", {} {were} put back before, not failed since",
            changed.already_replayed
        ));
    }
    if changed.not_replayable > 0 {
        text.push_str(&format!(
            ", {} can't be put back (a message that could not be decoded): discard with `--reason undecodable`",
            changed.not_replayable
        ));
    }
    let left = changed.matched.saturating_sub(changed.changed);
    if done == "discarded" && left > 0 {
        text.push_str(&format!(", {left} left as they are: tried at this moment"));
    }
    text.push('.');
    if changed.dry_run && !changed.rows.is_empty() {
        text = format!("{}\n\n{text}", listed(&changed.rows));
    }
    text
}

fn entity_of(row: &Row) -> String {
    match (row.entity, row.id) {
        (Some(entity), Some(id)) => format!("{entity} {id}"),
        _ => "-".to_owned(),
    }
}

fn listed(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "No dead letter matches.".to_owned();
    }
    let mut table = table(&[
        "NUMBER",
        "TARGET",
        "ENTITY",
        "STATE",
        "REASON",
        "ATTEMPTS",
        "LAST FAILED",
        "ERROR",
    ]);
    for row in rows {
        let is_under_way = row.state == "dead_letter" && row.replayed_on.is_some();
        table.add_row([
            row.dead_letter.to_string(),
            row.target.to_string(),
            entity_of(row),
            if is_under_way { "put back" } else { row.state }.to_owned(),
            cell(Some(&row.reason)),
            row.attempts.to_string(),
            instant(Some(row.last_failed_on)),
            cell(row.error.as_deref()),
        ]);
    }
    table.to_string()
}

fn in_full(shown: &Shown) -> String {
    let row = &shown.row;
    let mut facts = table(&[&format!("DEAD LETTER {}", row.dead_letter), ""]);
    let mut fact = |name: &str, value: String| {
        if value != "-" {
            facts.add_row([name.to_owned(), value]);
        }
    };
    fact("target", row.target.to_string());
    fact("entity", entity_of(row));
    fact("state", row.state.to_owned());
    fact("state of its record", cell(row.record_state.as_deref()));
    fact("reason", cell(Some(&row.reason)));
    fact("error", cell(row.error.as_deref()));
    fact("attempts", row.attempts.to_string());
    fact("failed cycles", row.cycles.to_string());
    fact("first failed", instant(Some(row.first_failed_on)));
    fact("last failed", instant(Some(row.last_failed_on)));
    fact("tried again from", instant(row.next_try_on));
    fact("put back", instant(row.replayed_on));
    fact("put back by", cell(row.replayed_by.as_deref()));
    fact("closed", instant(row.closed_on));
    fact("closed by", cell(row.closed_by.as_deref()));
    fact("message's SHA-256", cell(row.message_digest.as_deref()));
    fact(
        "message's size",
        row.message_bytes.map_or_else(|| "-".to_owned(), |n| format!("{n} bytes")),
    );
    fact("advice", row.advice.to_owned());
    if shown.last_attempts.is_empty() {
        return facts.to_string();
    }
    let mut attempts = table(&["ATTEMPT", "DECISION", "OUTCOME", "ERROR"]);
    for attempt in &shown.last_attempts {
        attempts.add_row([
            instant(Some(attempt.attempted_on)),
            cell(Some(&attempt.decision)),
            cell(Some(&attempt.outcome)),
            cell(attempt.error.as_deref()),
        ]);
    }
    format!("{facts}\n\n{attempts}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_said_in_one_sentence() {
        let changed = Changed { matched: 3, changed: 2, already_replayed: 1, ..Changed::default() };
        assert_eq!(
            in_words(&changed, "put back"),
            "3 matched, 2 put back, 1 was put back before, not failed since."
        );
        let dry = Changed { matched: 3, changed: 3, dry_run: true, ..Changed::default() };
        assert_eq!(in_words(&dry, "discarded"), "3 matched, 3 would be discarded.");
    }
}
