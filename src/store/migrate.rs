//! `ems-sync migrate`: schema `sync`, its functions and projections. Safe to repeat, and by several at once.

use super::{Store, StoreError};
use crate::limits;
use crate::target::Target;

mod embedded {
    refinery::embed_migrations!("sql/migrations");
}

/// Serialises migrations of several processes; released with the connection.
const MIGRATION_LOCK: (i32, i32) = (4_541_779, 3);

/// Functions, re-applied in this order.
const FUNCTIONS: [&str; 17] = [
    include_str!("../../sql/functions/capture.sql"),
    include_str!("../../sql/functions/owe.sql"),
    include_str!("../../sql/functions/claim.sql"),
    include_str!("../../sql/functions/finish.sql"),
    include_str!("../../sql/functions/match_keys.sql"),
    include_str!("../../sql/functions/dead_letters.sql"),
    include_str!("../../sql/functions/guard.sql"),
    include_str!("../../sql/functions/attempts.sql"),
    include_str!("../../sql/functions/target.sql"),
    include_str!("../../sql/functions/place.sql"),
    include_str!("../../sql/functions/budget.sql"),
    include_str!("../../sql/functions/inbox.sql"),
    include_str!("../../sql/functions/pull.sql"),
    include_str!("../../sql/functions/inbound_guard.sql"),
    include_str!("../../sql/functions/inbound_removals.sql"),
    include_str!("../../sql/functions/inbound_purge.sql"),
    include_str!("../../sql/functions/audit.sql"),
];

/// What a migration did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// Names of the migrations that were applied now.
    pub applied: Vec<String>,
    /// The reference EMS is here: its tables are watched now.
    pub watches_reference_ems: bool,
    /// Targets whose projections were applied.
    pub projections: Vec<Target>,
}

/// The projections that come with the program.
const fn projections(target: Target) -> &'static [&'static str] {
    match target {
        Target::TagServer => &[include_str!("../../sql/projections/tagserver.sql")],
        Target::Mautic => &[include_str!("../../sql/projections/mautic.sql")],
        Target::MailChimp => &[include_str!("../../sql/projections/mailchimp.sql")],
        Target::RunSignup => &[
            include_str!("../../sql/projections/runsignup.sql"),
            include_str!("../../sql/projections/runsignup_inbound.sql"),
        ],
        Target::Chatwoot => &[
            include_str!("../../sql/projections/chatwoot.sql"),
            include_str!("../../sql/projections/chatwoot_inbound.sql"),
        ],
    }
}

impl Store {
    /// Brings schema `sync` to this program's version: migrations once each, functions and projections anew, and
    /// the triggers on the reference EMS where it is.
    ///
    /// `own` replaces what comes with the program for the reference EMS (its look-ups, projections and triggers) by
    /// statements for another EMS, one text per file.
    ///
    /// # Errors
    /// [`StoreError`] when a migration differs from the one that was applied, or a statement fails.
    pub async fn migrate(&self, own: Option<&[String]>) -> Result<Migrated, StoreError> {
        let mut client = self.own_client().await?;
        client.batch_execute("set statement_timeout = 0; set lock_timeout = '30s'").await?;
        let (class, object) = MIGRATION_LOCK;
        client.query_one("select pg_advisory_lock($1, $2)", &[&class, &object]).await?;
        client.batch_execute("create schema if not exists sync").await?;
        let report = embedded::migrations::runner()
            .set_migration_table_name("sync.migration")
            .run_async(&mut client)
            .await
            .map_err(StoreError::Migration)?;
        let transaction = client.transaction().await?;
        for sql in FUNCTIONS {
            transaction.batch_execute(sql).await?;
        }
        let has_ems: bool = transaction
            .query_one("select to_regclass('ems.person') is not null", &[])
            .await?
            .try_get(0)?;
        let mut applied_projections = Vec::new();
        for sql in own.unwrap_or_default() {
            transaction.batch_execute(sql).await?;
        }
        let has_ems = has_ems && own.is_none();
        if has_ems {
            transaction.batch_execute(include_str!("../../sql/projections/lookup.sql")).await?;
            let consents = include_str!("../../sql/projections/consents_inbound.sql");
            transaction.batch_execute(consents).await?;
            for target in Target::ALL {
                for sql in projections(target) {
                    transaction.batch_execute(sql).await?;
                }
                applied_projections.push(target);
            }
            transaction.batch_execute("select sync.watch_reference_ems()").await?;
        }
        let kept = limits::ATTEMPTS_KEPT_DAYS;
        transaction.query(include_str!("../../sql/queries/attempts_keep.sql"), &[&kept]).await?;
        transaction.commit().await?;
        Ok(Migrated {
            applied: report.applied_migrations().iter().map(ToString::to_string).collect(),
            watches_reference_ems: has_ems,
            projections: applied_projections,
        })
    }
}
