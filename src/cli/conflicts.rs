//! `ems-sync conflicts`: what people changed at a target and the EMS did not take, or of which nobody knows whose it is.
//!
//! What people wrote there is printed on standard output, for whoever asked, and nowhere else.

use serde_json::Value;

use super::args::{ConflictListArgs, ConflictsCommand};
use super::table::{cell, instant, table};
use super::target::by_here;
use super::{Exit, MORE, adapters, output};
use crate::config::Config;
use crate::limits;
use crate::ops::conflicts::decide::{self, Adoption, Decided};
use crate::ops::conflicts::{NOT_TAKEN_ADVICE, NotTakenRow, Row};
use crate::store::{ConflictFilter, Store};

pub(super) async fn conflicts(config: &Config, command: ConflictsCommand) -> anyhow::Result<Exit> {
    match command {
        ConflictsCommand::List(args) => list(config, args).await,
        ConflictsCommand::Show(args) => show(config, args.number, args.json).await,
        ConflictsCommand::Adopt(args) => {
            let (store, publisher) = adapters(config, "conflicts")?;
            let adoption = Adoption {
                number: args.which.number,
                candidate: args.candidate,
                anyway: args.anyway,
            };
            say(&decide::adopt(&store, &publisher, adoption, &by_here()).await?, args.which.json)
        }
        ConflictsCommand::Dismiss(args) => {
            let (store, _) = adapters(config, "conflicts")?;
            say(&decide::dismiss(&store, args.number, &by_here()).await?, args.json)
        }
    }
}

async fn list(config: &Config, args: ConflictListArgs) -> anyhow::Result<Exit> {
    let (store, _) = adapters(config, "conflicts")?;
    if args.not_taken {
        return list_not_taken(&store, &args).await;
    }
    let filter = ConflictFilter {
        target: args.target,
        entity: args.entity,
        id: args.id,
        number: None,
        closed_too: args.closed,
    };
    let most = args.limit.map_or(limits::CONFLICTS_SHOWN, i64::from);
    let mut rows = store.conflicts(filter, most.saturating_add(1)).await?;
    let shown = usize::try_from(most).unwrap_or(usize::MAX);
    let more = if rows.len() > shown { MORE } else { "" };
    rows.truncate(shown);
    let rows: Vec<Row> = rows.into_iter().map(Row::from).collect();
    if args.json {
        output::json(&rows)?;
    } else {
        let left = store.not_taken(args.target, args.entity, args.id, 1).await?;
        let besides = if left.is_empty() { "" } else { BESIDES };
        output::text(&format!("{}{more}{besides}", listed(&rows)))?;
    }
    Ok(Exit::Fine)
}

/// Said where something else is not taken in.
const BESIDES: &str = "\n\nBesides, something that is no conflict is not taken in: `ems-sync conflicts list --not-taken`.";

async fn list_not_taken(store: &Store, args: &ConflictListArgs) -> anyhow::Result<Exit> {
    let most = args.limit.map_or(limits::CONFLICTS_SHOWN, i64::from);
    let mut rows =
        store.not_taken(args.target, args.entity, args.id, most.saturating_add(1)).await?;
    let shown = usize::try_from(most).unwrap_or(usize::MAX);
    let more = if rows.len() > shown { MORE } else { "" };
    rows.truncate(shown);
    let rows: Vec<NotTakenRow> = rows.into_iter().map(NotTakenRow::from).collect();
    if args.json {
        output::json(&rows)?;
    } else if rows.is_empty() {
        output::text("All that came back is taken in, or is a conflict.")?;
    } else {
        output::text(&format!("{}{more}\n\n{NOT_TAKEN_ADVICE}", not_taken(&rows)))?;
    }
    Ok(Exit::Fine)
}

fn not_taken(rows: &[NotTakenRow]) -> String {
    let mut table = table(&["TARGET", "ENTITY", "ID", "REMOTE ID", "REASON", "ERROR", "SEEN"]);
    for row in rows {
        table.add_row([
            row.target.to_string(),
            row.entity.to_string(),
            row.id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
            cell(Some(&row.remote_id)),
            cell(Some(&row.reason)),
            cell(row.error.as_deref()),
            instant(Some(row.seen_on)),
        ]);
    }
    table.to_string()
}

async fn show(config: &Config, number: i64, json: bool) -> anyhow::Result<Exit> {
    let (store, _) = adapters(config, "conflicts")?;
    let Some(conflict) = store.conflict(number).await? else {
        anyhow::bail!("There is no conflict {number}");
    };
    let row = Row::from(conflict);
    if json {
        output::json(&row)?;
    } else {
        output::text(&shown(&row))?;
    }
    Ok(Exit::Fine)
}

/// A decision that was not carried out has failed.
fn say(decided: &Decided, json: bool) -> anyhow::Result<Exit> {
    if json {
        output::json(decided)?;
    } else {
        let reason = decided.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let detail = decided.detail.as_deref().map(|detail| format!(" ({})", cell(Some(detail))));
        let Decided { conflict, outcome, .. } = decided;
        output::text(&format!(
            "Conflict {conflict}: {outcome}{reason}{}",
            detail.unwrap_or_default()
        ))?;
    }
    Ok(if decided.reason.is_none() { Exit::Fine } else { Exit::Failed })
}

fn listed(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "No conflicts.".to_owned();
    }
    let heads = ["CONFLICT", "TARGET", "ENTITY", "ID", "REASON", "FIELDS", "SEEN", "OUTCOME"];
    let mut table = table(&heads);
    for row in rows {
        let fields: Vec<_> = row.fields.iter().map(|field| field.field.as_str()).collect();
        table.add_row([
            row.conflict.to_string(),
            row.target.to_string(),
            row.entity.to_string(),
            row.id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
            cell(Some(&row.reason)),
            cell(Some(&fields.join(", "))),
            instant(Some(row.seen_on)),
            cell(Some(row.outcome.as_deref().unwrap_or("open"))),
        ]);
    }
    table.to_string()
}

fn shown(row: &Row) -> String {
    let id = row.id.map_or_else(|| "(not known)".to_owned(), |id| id.to_string());
    let mut text = format!(
        "Conflict {}: {} {id} at {} ({}), {}, seen {}",
        row.conflict,
        row.entity,
        row.target,
        cell(Some(&row.remote_id)),
        cell(Some(&row.reason)),
        instant(Some(row.seen_on)),
    );
    let mut table = table(&["FIELD", "EMS", "TARGET"]);
    for field in &row.fields {
        table.add_row([
            cell(Some(&field.field)),
            value(&field.ems_value),
            value(&field.remote_value),
        ]);
    }
    if !row.fields.is_empty() {
        text.push_str(&format!("\n\n{table}"));
    }
    if !row.candidates.is_empty() {
        let ids: Vec<_> = row.candidates.iter().map(ToString::to_string).collect();
        let of = row.candidate_entity.unwrap_or(row.entity);
        text.push_str(&format!("\n\nIt may be {of} {}", ids.join(", ")));
    }
    let end = match (&row.outcome, &row.advice) {
        (Some(outcome), _) => {
            let by = cell(row.closed_by.as_deref());
            format!("{} {} by {by}", cell(Some(outcome)), instant(row.closed_on))
        }
        (None, advice) => advice.clone().unwrap_or_default(),
    };
    format!("{text}\n\n{end}")
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => cell(Some(text)),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            cell(Some(&value.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        serde_json::from_value::<Vec<crate::inbound::merge::LosingField>>(serde_json::json!([
            {"field": "last_name", "ems_value": "Nkosi", "remote_value": "Nk\u{1b}osi-Dube"},
        ]))
        .map(|fields| Row {
            conflict: 7,
            target: crate::target::Target::Chatwoot,
            entity: crate::entity::EntityType::Person,
            id: Some(5),
            state: crate::ops::status::state::Shown::Held,
            reason: "ems_newer".to_owned(),
            remote_id: "42".to_owned(),
            fields,
            candidates: vec![],
            candidate_entity: None,
            ems_modified_on: None,
            remote_modified_on: None,
            seen_on: jiff::Timestamp::UNIX_EPOCH,
            closed_on: None,
            closed_by: None,
            outcome: None,
            advice: Some("Decide.".to_owned()),
        })
        .unwrap()
    }

    #[test]
    fn a_list_names_the_fields_and_only_showing_one_shows_what_people_wrote() {
        let list = listed(&[row()]);
        assert!(list.contains("last_name") && !list.contains("Nkosi"), "{list}");
        let one = shown(&row());
        assert!(one.contains("Nkosi-Dube") && one.contains("Decide."), "{one}");
        assert!(!one.contains('\u{1b}'), "a value moves no cursor");
    }

    #[test]
    fn the_document_has_the_fixed_names() {
        let document = serde_json::to_value([row()]).unwrap();
        let row = &document[0];
        for key in ["conflict", "target", "entity", "id", "state", "reason", "fields"] {
            assert!(row.get(key).is_some(), "{key} is missing in {row}");
        }
        assert_eq!(row["state"], "held");
        assert_eq!(row["fields"][0]["remote_value"], "Nk\u{1b}osi-Dube");
    }
}
