//! `ems-sync explain`: what is known of an entity at every target, and what happens next.

use anyhow::bail;
use jiff::Timestamp;

use super::args::ExplainArgs;
use super::table::{cell, instant, table};
use super::{Exit, adapters, output};
use crate::config::Config;
use crate::entity::EntityRef;
use crate::ops::explain::{self, EventOf, ExplainRow, Explanation, Named};

pub(super) async fn explain(config: &Config, args: ExplainArgs) -> anyhow::Result<Exit> {
    let named = args.named().map_err(anyhow::Error::msg)?;
    let (store, _) = adapters(config, "explain")?;
    let found = explain::find(&store, &named).await?;
    let enabled = config.targets.enabled();
    let mut rows = Vec::new();
    for entity in found.entities {
        if let Some(explanation) = explain::explain(&store, &enabled, entity).await? {
            rows.extend(explanation.targets);
        }
    }
    if rows.is_empty() {
        if args.json {
            output::json(&Explanation { targets: rows, more: false, events: Vec::new() })?;
        }
        bail!(unknown(&named));
    }
    let explanation = Explanation { targets: rows, more: found.more, events: found.events };
    if args.json {
        output::json(&explanation)?;
    } else {
        output::text(&shown(&explanation))?;
    }
    Ok(Exit::Fine)
}

/// Repeats nothing personal: an e-mail address or a bib number that was typed stays where it was typed.
fn unknown(named: &Named) -> String {
    match named {
        Named::Entity(entity) => format!(
            "There is no {} {}: the EMS shows it to no target, and no target has a record of it",
            entity.entity_type, entity.id
        ),
        Named::Email(_) => "No entity has this e-mail address".to_owned(),
        Named::Bib(_) => "No entity has this bib number".to_owned(),
        Named::Remote(target, _) => format!("No entity has this id at {target}"),
    }
}

fn shown(explanation: &Explanation) -> String {
    let mut text = String::new();
    let mut rows = explanation.targets.as_slice();
    while let Some(first) = rows.first() {
        let same = |row: &ExplainRow| (row.entity, row.id) == (first.entity, first.id);
        let (entity, others) = rows.split_at(rows.iter().take_while(|row| same(row)).count());
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        let named = EntityRef::new(first.entity, first.id);
        let event = EventOf::of(&explanation.events, named);
        text.push_str(&entity_shown(named, event, entity));
        rows = others;
    }
    if explanation.more {
        text.push_str("\n\nThere are more: these are the newest.");
    }
    text
}

fn entity_shown(entity: EntityRef, event: Option<&EventOf>, rows: &[ExplainRow]) -> String {
    let mut targets = table(&["TARGET", "STATE", "REASON", "REMOTE ID", "LAST PUSH", "OWED SINCE"]);
    let mut attempts = table(&["ATTEMPT", "TARGET", "DECISION", "OUTCOME", "ERROR"]);
    let (mut next, mut advice) = (String::from("\n\nWhat happens next"), String::new());
    for row in rows {
        targets.add_row([
            row.target.to_string(),
            row.state.name().to_owned(),
            cell(Some(&row.reason)),
            cell(row.remote_id.as_deref()),
            instant(row.last_push),
            instant(row.owed_since),
        ]);
        // Beneath the table: a sentence in a narrow column is hard to read.
        let says = cell(Some(&row.says));
        next.push_str(&wrapped(&format!("{}: {says}. {}", row.target, cell(Some(&row.next))), 2));
        next.push_str(&wrapped(&facts(row), 4));
        if let Some(error) = &row.last_error {
            next.push_str(&wrapped(&format!("last error: {}", cell(Some(error))), 4));
        }
        for attempt in &row.attempts {
            attempts.add_row([
                instant(Some(attempt.attempted_on)),
                row.target.to_string(),
                cell(Some(&attempt.decision)),
                cell(Some(&attempt.outcome)),
                cell(attempt.error.as_deref()),
            ]);
        }
        if let Some(state) = &row.inbound.state {
            let reason = cell(row.inbound.reason.as_deref().or(row.inbound.last_error.as_deref()));
            let change = format!("From {}: a change is {state} ({reason})", row.target);
            advice.push_str(&wrapped(&change, 2));
        }
        for number in &row.inbound.conflicts {
            advice.push_str(&format!(
                "\n  From {}: see `ems-sync conflicts show {number}`",
                row.target
            ));
        }
        if let Some(text) = &row.advice {
            let text = format!("Advice for {}: {}", row.target, cell(Some(text)));
            advice.push_str(&wrapped(&text, 2));
        }
    }
    let attempts = if attempts.is_empty() { String::new() } else { format!("\n\n{attempts}") };
    let event =
        event.map_or_else(String::new, |event| format!(" of {}", cell(Some(&event.words()))));
    format!("{} {}{event}\n{targets}{next}{advice}{attempts}", entity.entity_type, entity.id)
}

/// What else is known of an entity at a target; nothing of a target that knows nothing of it.
fn facts(row: &ExplainRow) -> String {
    let at = |what: &str, on: Option<Timestamp>| on.map(|_| format!("{what} {}", instant(on)));
    let hashes = row.in_sync_hash.map(|agree| if agree { "hashes agree" } else { "hashes differ" });
    let known = [
        at("changed", row.last_change),
        at("pulled", row.last_pull),
        hashes.map(str::to_owned),
        row.in_doubt.then(|| "a write is in doubt".to_owned()),
        at("due", row.due_on),
    ];
    known.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// On lines of their own, so far in, broken between words.
fn wrapped(text: &str, indent: usize) -> String {
    let (mut lines, mut column) = (String::new(), WIDTH);
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column + 1 + length > WIDTH {
            // What goes on from the line above is a little further in.
            let indent = if lines.is_empty() { indent } else { indent + 2 };
            lines.push('\n');
            lines.push_str(&" ".repeat(indent));
            column = indent;
        } else {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines
}

/// Columns that every terminal has, or nearly.
const WIDTH: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::EntityType;
    use crate::ops::status::state::Shown;
    use crate::store::InboundOf;
    use crate::target::Target;

    #[test]
    fn what_was_typed_is_not_repeated_where_it_may_be_personal() {
        for named in [
            Named::Email("a@example.org".to_owned()),
            Named::Bib("a@example.org".to_owned()),
            Named::Remote(Target::Mautic, "a@example.org".to_owned()),
        ] {
            assert!(!unknown(&named).contains("example.org"), "{named:?}");
        }
        let entity = Named::Entity(EntityRef::new(EntityType::Person, 5));
        assert!(unknown(&entity).contains("person 5"));
    }

    fn row(target: Target) -> ExplainRow {
        let at = |second| Timestamp::from_second(second).ok();
        ExplainRow {
            target,
            entity: EntityType::EventParticipant,
            id: 7,
            state: Shown::Retrying,
            reason: "transient".to_owned(),
            situation: "retrying",
            says: "retrying at 1970-01-01 00:00:09Z".to_owned(),
            remote_id: Some("12".to_owned()),
            last_change: at(1),
            pushed_version: at(2),
            owed_since: at(3),
            last_push: at(4),
            last_pull: at(5),
            in_sync_hash: Some(false),
            in_doubt: true,
            waiting_on: None,
            due_on: at(6),
            dead_lettered_on: None,
            last_error: Some("transient: 503 ".to_owned() + &"and so on ".repeat(20)),
            inbound: InboundOf::default(),
            attempts: Vec::new(),
            next: "It is tried again at 1970-01-01 00:00:09Z.".to_owned(),
            advice: Some("Wait, ".repeat(30)),
        }
    }

    #[test]
    fn what_is_known_of_each_target_stands_beneath_the_table_and_fits_a_hundred_columns() {
        let events = vec![EventOf {
            entity: EntityType::EventParticipant,
            id: 7,
            event: 5,
            name: Some("Two Oceans".to_owned()),
        }];
        let targets = vec![row(Target::TagServer), row(Target::Mautic)];
        let text = shown(&Explanation { targets, more: true, events });
        let first = text.lines().next().unwrap();
        assert_eq!(first, "event_participant 7 of event 5, Two Oceans");
        let (_, beneath) = text.split_once("What happens next").unwrap();
        for told in [
            "changed 1970-01-01 00:00:01Z",
            "pulled 1970-01-01 00:00:05Z",
            "hashes differ",
            "a write is in doubt",
            "due 1970-01-01 00:00:06Z",
            "last error: transient: 503",
        ] {
            let one_line = beneath.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(one_line.matches(told).count(), 2, "{told} of each target: {text}");
        }
        assert!(beneath.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert!(text.ends_with("There are more: these are the newest."), "{text}");
        let unknown = ExplainRow {
            last_change: None,
            last_pull: None,
            in_sync_hash: None,
            in_doubt: false,
            due_on: None,
            ..row(Target::Chatwoot)
        };
        assert_eq!(facts(&unknown), "");
        assert_eq!(wrapped("", 4), "");
    }
}
