//! `ems-sync target approve|reject`: a person decides about what the guard holds ([`crate::ops::holds`]).

use super::args::{ApproveArgs, HeldArgs, RejectArgs, TargetArgs};
use super::table::{cell, instant, table};
use super::target::by_of;
use super::{Exit, adapters, output};
use crate::config::Config;
use crate::ops::holds::{self, Held};
use crate::store::HoldDecision;
use crate::target::Target;

pub(super) async fn approve(config: &Config, args: ApproveArgs) -> anyhow::Result<Exit> {
    let ApproveArgs { target, kept, held: HeldArgs { dry_run, seen } } = args;
    if dry_run {
        show_held(config, &target).await
    } else {
        decide(config, &target, true, kept, seen.as_deref()).await
    }
}

pub(super) async fn reject(config: &Config, args: RejectArgs) -> anyhow::Result<Exit> {
    let RejectArgs { target, held: HeldArgs { dry_run, seen } } = args;
    if dry_run {
        show_held(config, &target).await
    } else {
        decide(config, &target, false, false, seen.as_deref()).await
    }
}

async fn decide(
    config: &Config,
    args: &TargetArgs,
    approves: bool,
    kept: bool,
    seen: Option<&str>,
) -> anyhow::Result<Exit> {
    let (store, publisher) = adapters(config, "target")?;
    let by = by_of(args);
    let target = args.target;
    let decision = HoldDecision { target, approves, kept, by: &by, seen };
    let decided = holds::decide(&store, &publisher, &config.targets.enabled(), decision).await?;
    let Some(decided) = decided else {
        let held = holds::held(&store, target).await?;
        if args.json {
            output::json(&held)?;
        } else {
            output::text(&listed(&held))?;
        }
        anyhow::bail!(holds::not_as_seen(target));
    };
    if args.json {
        output::json(&decided)?;
    } else {
        output::text(&decided.words())?;
    }
    Ok(Exit::Fine)
}

/// What it would be about.
async fn show_held(config: &Config, args: &TargetArgs) -> anyhow::Result<Exit> {
    let (store, _) = adapters(config, "target")?;
    let held = holds::held(&store, args.target).await?;
    if args.json {
        output::json(&held)?;
    } else {
        output::text(&listed(&held))?;
    }
    Ok(Exit::Fine)
}

fn listed(held: &Held) -> String {
    let target: Target = held.target;
    if held.counts.is_empty() {
        return format!("Nothing is held at `{target}`");
    }
    let mut counts = table(&["HELD", "ENTITY", "HOW MANY", "DECIDED"]);
    for count in &held.counts {
        counts.add_row([
            count.kind.name().to_owned(),
            count.entity.to_string(),
            count.n.to_string(),
            decided(count.kept).to_owned(),
        ]);
    }
    let mut rows = table(&["HELD", "ENTITY", "REMOTE ID", "SINCE", "LOSES", "DECIDED"]);
    for row in &held.rows {
        let id = row.id.map_or_else(|| "(not known)".to_owned(), |id| id.to_string());
        rows.add_row([
            row.kind.name().to_owned(),
            format!("{} {id}", row.entity),
            cell(row.remote_id.as_deref()),
            instant(row.since),
            cell(Some(&row.loses.join(", "))),
            decided(row.kept).to_owned(),
        ]);
    }
    format!("{counts}\n\n{rows}\n\n{}", how_to_approve(held))
}

/// The order that approves what is listed. What was rejected earlier is approved only where that is said.
fn how_to_approve(held: &Held) -> String {
    let Held { target, seen, undecided, .. } = held;
    let exactly = format!("`ems-sync target approve {target} --seen {seen}`");
    let kept = format!("`ems-sync target approve {target} --kept --seen {seen}`");
    match (*undecided > 0, held.counts.iter().any(|count| count.kept)) {
        (true, false) => format!("To approve exactly this: {exactly}"),
        (true, true) => format!(
            "To approve exactly what is open: {exactly}\nWith what was rejected earlier: {kept}"
        ),
        (false, _) => format!("All of it was rejected earlier. To approve it after all: {kept}"),
    }
}

const fn decided(kept: bool) -> &'static str {
    if kept { "rejected" } else { "open" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::EntityType;
    use crate::store::{HeldCount, HeldItem, HeldKind};

    #[test]
    fn what_is_held_is_listed_with_what_it_loses() {
        let (kind, entity) = (HeldKind::Lessen, EntityType::Person);
        let item = HeldItem {
            kind,
            entity,
            id: Some(7),
            remote_id: Some("a\u{1b}[2J".to_owned()),
            kept: false,
            since: None,
            loses: vec!["email".to_owned()],
        };
        let counts = vec![HeldCount { kind, entity, kept: false, n: 41 }];
        let seen = "4f1c-0-0".to_owned();
        let held = Held { target: Target::Mautic, undecided: 41, seen, counts, rows: vec![item] };
        let text = listed(&held);
        assert!(
            text.contains("41") && text.contains("person 7") && text.contains("email"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(text.contains("target approve mautic --seen 4f1c-0-0"), "{text}");
        assert!(!text.contains("--kept"), "{text}");
    }

    #[test]
    fn what_was_rejected_earlier_is_approved_by_another_order() {
        let (kind, entity) = (HeldKind::Delete, EntityType::Tag);
        let of = |kept, n| HeldCount { kind, entity, kept, n };
        let held = |counts: Vec<HeldCount>, undecided| Held {
            target: Target::TagServer,
            undecided,
            seen: "a-b".to_owned(),
            counts,
            rows: Vec::new(),
        };
        let exactly = "target approve tagserver --seen a-b";
        let after_all = "target approve tagserver --kept --seen a-b";
        let kept = listed(&held(vec![of(true, 3)], 0));
        assert!(kept.contains(after_all) && !kept.contains(exactly), "{kept}");
        let both = listed(&held(vec![of(false, 2), of(true, 3)], 2));
        assert!(both.contains(after_all) && both.contains(exactly), "{both}");
    }
}
