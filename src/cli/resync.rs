//! `ems-sync resync`: the plan (what would be created, changed and left, and in which fields), then the bulk lane.

use std::collections::BTreeMap;

use serde::Serialize;

use super::args::ResyncArgs;
use super::table::{cell, table};
use super::target::by_here;
use super::{Exit, adapters, bar, output};
use crate::clients::{self, Job};
use crate::config::Config;
use crate::entity::{EntityRef, EntityType};
use crate::limits;
use crate::remote::Remote;
use crate::store::{Found, Store, WholeTarget};
use crate::sweep::resync::{self, Selection};
use crate::sweep::verify::{self, Finding};
use crate::sweep::walk::{Verifier, Walked};
use crate::target::Target;

/// The document.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Document {
    target: Target,
    dry_run: bool,
    force: bool,
    /// The target has none of these.
    create: i64,
    /// The target holds something else of these.
    update: i64,
    /// The target holds what the EMS has.
    unchanged: i64,
    /// Owed already, or on their way.
    waiting: i64,
    /// The EMS has none of these; a resync deletes nothing.
    orphaned: i64,
    /// Records of the target that are not ours.
    foreign: u64,
    /// In how many entities each field differs, in the target's words.
    fields: BTreeMap<String, i64>,
    /// What was owed.
    #[serde(skip_serializing_if = "Option::is_none")]
    owed: Option<u64>,
    /// What is not unchanged.
    rows: Vec<Row>,
    /// Rows that were left out because they are too many.
    left_out: i64,
}

/// An entity that would be created or changed, or that waits.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Row {
    target: Target,
    entity: EntityType,
    id: i64,
    finding: Finding,
    reason: String,
    fields: Vec<String>,
    remote_id: Option<String>,
}

pub(super) async fn resync(config: &Config, args: ResyncArgs) -> anyhow::Result<Exit> {
    let target = args.target;
    if !config.targets.enabled().contains(&target) {
        anyhow::bail!("Target `{target}` is not enabled: set `targets.{target}.enabled = true`");
    }
    let selection = selection(&args)?;
    let job = Resync { config, selection, dry_run: args.dry_run, force: args.force };
    let document = clients::once(config, target, job).await?;
    if args.json {
        output::json(&document)?;
    } else {
        output::text(&shown(&document))?;
    }
    Ok(Exit::Fine)
}

fn selection(args: &ResyncArgs) -> anyhow::Result<Selection> {
    let selection = match (args.entity, args.id) {
        (None, _) => Selection::All,
        (Some(entity_type), None) => Selection::Type(entity_type),
        (Some(entity_type), Some(id)) => Selection::One(EntityRef::new(entity_type, id)),
    };
    match args.entity {
        Some(entity_type) if !args.target.covers(entity_type) => {
            let types: Vec<_> = args.target.outbound_types().iter().map(|t| t.name()).collect();
            anyhow::bail!(
                "Nothing of type {entity_type} is pushed to `{}`; one of {}",
                args.target,
                types.join(", ")
            )
        }
        Some(_) | None => Ok(selection),
    }
}

/// What was ordered, in the audit trail; `None`: all of the target, as it differs.
fn words(selection: Selection, force: bool) -> Option<String> {
    let of = match selection {
        Selection::All => None,
        Selection::Type(entity_type) => Some(entity_type.to_string()),
        Selection::One(entity) => Some(entity.to_string()),
    };
    let words: Vec<_> = of.into_iter().chain(force.then(|| "--force".to_owned())).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

struct Resync<'a> {
    config: &'a Config,
    selection: Selection,
    dry_run: bool,
    force: bool,
}

impl Job for Resync<'_> {
    type Output = Document;

    async fn run<R: Remote>(
        self,
        build: impl Fn() -> anyhow::Result<R> + Send,
    ) -> anyhow::Result<Document> {
        let (store, publisher) = adapters(self.config, "resync")?;
        let verifier = Verifier { store: store.clone(), remote: build()?, beat: bar::beat() };
        let walked = verifier.plan(self.selection).await?;
        let document = async {
            let mut document =
                planned(&store, verifier.remote.target(), walked, self.selection).await?;
            if !self.dry_run {
                let target = verifier.remote.target();
                let detail = words(self.selection, self.force);
                let by = by_here();
                store.note_order(target, WholeTarget::Resync, detail.as_deref(), &by).await?;
                document.owed = Some(verifier.resync(walked, self.selection, self.force).await?);
                resync::begin(&store, &publisher, verifier.remote.target()).await;
            }
            Ok(Document { dry_run: self.dry_run, force: self.force, ..document })
        };
        let document = document.await;
        store.verify_end(walked.run).await?;
        document
    }
}

async fn planned(
    store: &Store,
    target: Target,
    walked: Walked,
    selection: Selection,
) -> anyhow::Result<Document> {
    let found = match selection.one() {
        Some(one) => store.verify_finding_of(walked.run, one).await?,
        None => store.verify_rows(walked.run, limits::VERIFY_ROWS_SHOWN).await?,
    };
    let counts = match selection.one() {
        Some(_) => found
            .iter()
            .map(|(_, found)| (found.finding, found.reason == verify::IGNORED, 1))
            .collect(),
        None => store.verify_counts(walked.run).await?,
    };
    let fields = match selection.one() {
        Some(_) => {
            let changed = found.iter().filter(|(_, f)| f.reason != verify::IGNORED);
            changed.flat_map(|(_, f)| f.fields.iter().map(|n| (n.clone(), 1))).collect()
        }
        None => store.verify_fields(walked.run).await?,
    };
    let sum = |finding, is_ignored| -> i64 {
        counts.iter().filter(|c| (c.0, c.1) == (finding, is_ignored)).map(|c| c.2).sum()
    };
    let count = |finding| sum(finding, false);
    let rows: Vec<Row> = found
        .into_iter()
        .filter(|(_, found)| found.finding != Finding::Matched)
        .map(|(of, found)| row(target, of, found))
        .collect();
    let not_matched: i64 = counts.iter().filter(|c| c.0 != Finding::Matched).map(|c| c.2).sum();
    Ok(Document {
        target,
        dry_run: true,
        force: false,
        create: count(Finding::Missing),
        update: count(Finding::Different),
        // What the target ignores is not said again.
        unchanged: count(Finding::Matched) + sum(Finding::Different, true),
        waiting: count(Finding::Waiting),
        orphaned: count(Finding::Orphaned),
        foreign: walked.foreign,
        fields: fields.into_iter().collect(),
        owed: None,
        left_out: not_matched - i64::try_from(rows.len()).unwrap_or(not_matched),
        rows,
    })
}

fn row(target: Target, of: EntityRef, found: Found) -> Row {
    Row {
        target,
        entity: of.entity_type,
        id: of.id,
        finding: found.finding,
        reason: found.reason,
        fields: found.fields,
        remote_id: found.remote_id,
    }
}

fn shown(document: &Document) -> String {
    let Document { target, create, update, unchanged, waiting, orphaned, foreign, .. } = document;
    let mut text = format!(
        "Target `{target}`: {create} to create, {update} to change, {unchanged} unchanged, {waiting} waiting, \
         {orphaned} orphaned, {foreign} foreign"
    );
    if !document.fields.is_empty() {
        let fields = document.fields.iter().map(|(name, n)| format!("{name} {n}"));
        text.push_str(&format!("\nFields that differ: {}", fields.collect::<Vec<_>>().join(", ")));
    }
    if !document.rows.is_empty() {
        let mut table = table(&["ENTITY", "ID", "FINDING", "REASON", "FIELDS", "REMOTE ID"]);
        for row in &document.rows {
            table.add_row([
                row.entity.to_string(),
                row.id.to_string(),
                row.finding.name().to_owned(),
                row.reason.clone(),
                row.fields.join(", "),
                cell(row.remote_id.as_deref()),
            ]);
        }
        text.push_str(&format!("\n{table}"));
    }
    if document.left_out > 0 {
        text.push_str(&format!("\n… and {} more", document.left_out));
    }
    match document.owed {
        Some(owed) => text.push_str(&format!(
            "\nOwed in the bulk lane: {owed}. The running processes bring it home; `ems-sync status` shows how far they are."
        )),
        None => text.push_str("\nNothing was changed: a dry run."),
    }
    if *orphaned > 0 {
        text.push_str(&format!(
            "\nOrphans stay: `ems-sync verify --target {target} --repair` owes their removal."
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_says_what_would_change_and_in_which_fields() {
        let document = Document {
            target: Target::TagServer,
            dry_run: true,
            force: false,
            create: 1,
            update: 2,
            unchanged: 3,
            waiting: 0,
            orphaned: 1,
            foreign: 0,
            fields: BTreeMap::from([("lastName".to_owned(), 2)]),
            owed: None,
            rows: vec![Row {
                target: Target::TagServer,
                entity: EntityType::Person,
                id: 7,
                finding: Finding::Different,
                reason: "content".to_owned(),
                fields: vec!["lastName".to_owned()],
                remote_id: Some("900001".to_owned()),
            }],
            left_out: 1,
        };
        let text = shown(&document);
        for part in
            ["1 to create, 2 to change, 3 unchanged", "lastName 2", "a dry run", "… and 1 more"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        let done = Document { owed: Some(6), dry_run: false, ..document };
        assert!(shown(&done).contains("bulk lane: 6"));
        let json = serde_json::to_value(&done).unwrap();
        assert_eq!((&json["fields"]["lastName"], &json["owed"]), (&2.into(), &6.into()));
    }
}
