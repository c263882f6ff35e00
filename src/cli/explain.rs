//! `ems-sync explain`: what is known of an entity at every target, and what happens next.

use anyhow::bail;

use super::args::ExplainArgs;
use super::table::{cell, instant, table};
use super::{Exit, adapters, output};
use crate::config::Config;
use crate::entity::EntityRef;
use crate::ops::explain::{self, ExplainRow, Explanation, Named};

pub(super) async fn explain(config: &Config, args: ExplainArgs) -> anyhow::Result<Exit> {
    let named = args.named().map_err(anyhow::Error::msg)?;
    let (store, _) = adapters(config, "explain")?;
    let entities = explain::find(&store, &named).await?;
    let enabled = config.targets.enabled();
    let mut rows = Vec::new();
    for entity in entities {
        if let Some(explanation) = explain::explain(&store, &enabled, entity).await? {
            rows.extend(explanation.targets);
        }
    }
    if rows.is_empty() {
        if args.json {
            output::json(&Explanation { targets: rows })?;
        }
        bail!(unknown(&named));
    }
    let explanation = Explanation { targets: rows };
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
        text.push_str(&entity_shown(EntityRef::new(first.entity, first.id), entity));
        rows = others;
    }
    text
}

fn entity_shown(entity: EntityRef, rows: &[ExplainRow]) -> String {
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
        next.push_str(&format!("\n  {}: {says}. {}", row.target, cell(Some(&row.next))));
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
            advice.push_str(&format!("\n  From {}: a change is {state} ({reason})", row.target));
        }
        for number in &row.inbound.conflicts {
            advice.push_str(&format!(
                "\n  From {}: see `ems-sync conflicts show {number}`",
                row.target
            ));
        }
        if let Some(text) = &row.advice {
            advice.push_str(&format!("\n  Advice for {}: {}", row.target, cell(Some(text))));
        }
    }
    let attempts = if attempts.is_empty() { String::new() } else { format!("\n\n{attempts}") };
    format!("{} {}\n{targets}{next}{advice}{attempts}", entity.entity_type, entity.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::EntityType;
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
}
