//! `ems-sync verify`: what a target holds against what it should hold. Reads the whole target, changes nothing; with
//! `--repair` it owes what differs, and the running processes bring it home.

use serde::Serialize;

use super::args::VerifyArgs;
use super::table::{cell, table};
use super::target::by_here;
use super::{Exit, adapters, bar, output};
use crate::clients::{self, Job};
use crate::config::Config;
use crate::entity::EntityType;
use crate::limits;
use crate::remote::Remote;
use crate::store::{Store, WholeTarget};
use crate::sweep::resync;
use crate::sweep::verify::Finding;
use crate::sweep::walk::Verifier;
use crate::target::Target;

/// The document.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Document {
    target: Target,
    matched: i64,
    missing: i64,
    different: i64,
    /// Of those that differ: in nothing but what the target ignores in silence, so that no push brings them home.
    ignored: i64,
    orphaned: i64,
    waiting: i64,
    /// Records of the target that are not ours.
    foreign: u64,
    /// What a repair owed.
    #[serde(skip_serializing_if = "Option::is_none")]
    owed: Option<u64>,
    /// What is not matched.
    rows: Vec<Row>,
    /// Rows that were left out because they are too many.
    left_out: i64,
}

/// An entity that is not matched.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Row {
    target: Target,
    entity: EntityType,
    id: i64,
    finding: Finding,
    state: String,
    reason: String,
    /// Names of the fields that differ.
    fields: Vec<String>,
    remote_id: Option<String>,
}

impl Document {
    const fn differs(&self) -> bool {
        self.missing + self.different - self.ignored + self.orphaned > 0
    }
}

pub(super) async fn verify(config: &Config, args: VerifyArgs) -> anyhow::Result<Exit> {
    let document = of_target(config, args.target, args.repair).await?;
    say(&document, args.json)
}

/// Prints it; the exit code says whether anything differs.
pub(super) fn say(document: &Document, json: bool) -> anyhow::Result<Exit> {
    if json {
        output::json(document)?;
    } else {
        output::text(&shown(document))?;
    }
    Ok(if document.differs() { Exit::Failed } else { Exit::Fine })
}

/// Walks over a target, and repairs if that is wanted.
pub(super) async fn of_target(
    config: &Config,
    target: Target,
    repair: bool,
) -> anyhow::Result<Document> {
    if !config.targets.enabled().contains(&target) {
        anyhow::bail!("Target `{target}` is not enabled: set `targets.{target}.enabled = true`");
    }
    clients::once(config, target, Walk { config, repair }).await
}

/// Walks over a target.
struct Walk<'a> {
    config: &'a Config,
    repair: bool,
}

impl Job for Walk<'_> {
    type Output = Document;

    async fn run<R: Remote>(
        self,
        build: impl Fn() -> anyhow::Result<R> + Send,
    ) -> anyhow::Result<Document> {
        with(self.config, build()?, self.repair).await
    }
}

async fn with<R: Remote>(config: &Config, remote: R, repair: bool) -> anyhow::Result<Document> {
    let (store, publisher) = adapters(config, "verify")?;
    let verifier = Verifier { store: store.clone(), remote, beat: bar::beat() };
    let walked = verifier.walk().await?;
    let document = async {
        let owed = if repair {
            let by = by_here();
            let target = verifier.remote.target();
            store.note_order(target, WholeTarget::Repair, None, &by).await?;
            Some(verifier.repair(walked).await?)
        } else {
            None
        };
        if owed.is_some() {
            resync::begin(&store, &publisher, verifier.remote.target()).await;
        }
        document(&store, verifier.remote.target(), walked.run, walked.foreign, owed).await
    };
    let document = document.await;
    store.verify_end(walked.run).await?;
    document
}

async fn document(
    store: &Store,
    target: Target,
    run: uuid::Uuid,
    foreign: u64,
    owed: Option<u64>,
) -> anyhow::Result<Document> {
    let counts = store.verify_counts(run).await?;
    let sum = |what: &dyn Fn(Finding, bool) -> bool| -> i64 {
        counts.iter().filter(|c| what(c.0, c.1)).map(|c| c.2).sum()
    };
    let count = |wanted| sum(&|finding, _| finding == wanted);
    let rows = store.verify_rows(run, limits::VERIFY_ROWS_SHOWN).await?;
    let not_matched = sum(&|finding, _| finding != Finding::Matched);
    let left_out = not_matched - i64::try_from(rows.len()).unwrap_or(not_matched);
    let rows = rows.into_iter().map(|(of, found)| Row {
        target,
        entity: of.entity_type,
        id: of.id,
        finding: found.finding,
        state: found.state,
        reason: found.reason,
        fields: found.fields,
        remote_id: found.remote_id,
    });
    Ok(Document {
        target,
        matched: count(Finding::Matched),
        missing: count(Finding::Missing),
        different: count(Finding::Different),
        ignored: sum(&|_, is_ignored| is_ignored),
        orphaned: count(Finding::Orphaned),
        waiting: count(Finding::Waiting),
        foreign,
        owed,
        rows: rows.collect(),
        left_out,
    })
}

/// The counts in one line.
pub(super) fn summary(document: &Document) -> String {
    let Document { target, matched, missing, different, orphaned, waiting, foreign, .. } = document;
    let ignored = match document.ignored {
        0 => String::new(),
        ignored => format!(" ({ignored} of them in what the target ignores)"),
    };
    format!(
        "Target `{target}`: {matched} matched, {missing} missing, {different} different{ignored}, {orphaned} orphaned, \
         {waiting} waiting, {foreign} foreign"
    )
}

fn shown(document: &Document) -> String {
    let mut text = summary(document);
    if let Some(owed) = document.owed {
        text.push_str(&format!("\nOwed for repair: {owed}"));
    }
    if !document.rows.is_empty() {
        let mut table =
            table(&["ENTITY", "ID", "FINDING", "REASON", "FIELDS", "STATE", "REMOTE ID"]);
        for row in &document.rows {
            table.add_row([
                row.entity.to_string(),
                row.id.to_string(),
                row.finding.name().to_owned(),
                row.reason.clone(),
                row.fields.join(", "),
                row.state.clone(),
                cell(row.remote_id.as_deref()),
            ]);
        }
        text.push_str(&format!("\n{table}"));
    }
    if document.left_out > 0 {
        text.push_str(&format!("\n… and {} more", document.left_out));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Document {
        Document {
            target: Target::TagServer,
            matched: 3,
            missing: 0,
            different: 0,
            ignored: 0,
            orphaned: 0,
            waiting: 1,
            foreign: 2,
            owed: None,
            rows: Vec::new(),
            left_out: 0,
        }
    }

    #[test]
    fn what_waits_and_what_is_foreign_is_no_difference() {
        assert!(!nothing().differs());
        for differs in [
            Document { missing: 1, ..nothing() },
            Document { different: 1, ..nothing() },
            Document { orphaned: 1, ..nothing() },
        ] {
            assert!(differs.differs());
        }
    }

    #[test]
    fn the_document_has_the_fixed_fields() {
        let row = Row {
            target: Target::TagServer,
            entity: EntityType::Tag,
            id: 7,
            finding: Finding::Missing,
            state: "synced".to_owned(),
            reason: "not_there".to_owned(),
            fields: vec!["number".to_owned()],
            remote_id: None,
        };
        let document = Document { missing: 1, rows: vec![row], ..nothing() };
        assert_eq!(
            serde_json::to_value(&document).unwrap(),
            serde_json::json!({"target": "tagserver", "matched": 3, "missing": 1, "different": 0, "ignored": 0,
                "orphaned": 0, "waiting": 1, "foreign": 2, "left_out": 0,
                "rows": [{"target": "tagserver", "entity": "tag", "id": 7, "finding": "missing",
                          "state": "synced", "reason": "not_there", "fields": ["number"], "remote_id": null}]})
        );
        assert!(shown(&document).contains("1 missing"));
    }
}
