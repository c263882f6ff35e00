//! One target's trouble is its own: one is offline and the others don't notice; a contact is edited at one.

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::everywhere::THANDEKA;
use crate::remote::{number, text};
use crate::screen::{count, took};
use crate::stage::{Stage, since, within};

pub(super) async fn mautic_offline(stage: &mut Stage) -> Result<()> {
    stage.screen.step("Mautic is offline, and the others don't notice");
    stage.platforms.mautic.set_offline(true).await?;
    let sql = "update ems.person set last_name = last_name || ' Khumalo'
               where id in (select min(id) from ems.person where id <= 98 group by lower(email) having lower(email) <> '')";
    let change = stage.ems.change(&[sql]).await?;
    stage.screen.figure("People get another name", &count(change.rows));
    let others = "not exists (select from sync.outbox) and not exists (
        select from sync.record where target <> 'mautic' and owed_gen > done_gen and due_on < 'infinity')";
    within("The other four are done", stage.ems.until(others)).await?;
    stage.screen.figure(
        "From the commit until the other four had all of it",
        &took(since(change.committed_on, Timestamp::now())),
    );
    let owed = stage
        .ems
        .count("select count(*) from sync.mautic_record where owed_gen > done_gen")
        .await?;
    stage.screen.check(owed == change.rows, "Contacts that are owed to Mautic", &count(owed));
    let is_open = "exists (select from sync.target where target = 'mautic' and breaker = 'open')";
    within("Mautic's breaker is open", stage.ems.until(is_open)).await?;
    let closed = "select count(*) from sync.target where target <> 'mautic' and breaker = 'closed'";
    let closed = stage.ems.count(closed).await?;
    stage.screen.check(
        closed == 4,
        "Mautic's breaker is open; those that are closed",
        &count(closed),
    );
    stage.platforms.mautic.set_offline(false).await?;
    let back_on = Timestamp::now();
    stage.settle().await?;
    stage.screen.figure(
        "From Mautic's return until it had caught up",
        &took(since(back_on, Timestamp::now())),
    );
    let contacts = stage.platforms.mautic.rows("contacts").await?;
    let renamed = contacts
        .iter()
        .filter(|row| text(row, "lastname").is_some_and(|name| name.ends_with(" Khumalo")))
        .count();
    let renamed = u64::try_from(renamed)?;
    stage.screen.check(renamed == change.rows, "Contacts with the new name", &count(renamed));
    Ok(())
}

pub(super) async fn edited_at_chatwoot(stage: &mut Stage) -> Result<()> {
    stage.screen.step("Somebody edits a contact at Chatwoot");
    stage.screen.say(
        "An agent overwrites Thandekile's name. Nothing is pulled in this version, so the EMS does not hear of it; a \
         person asks what differs, and then brings it back. The plan by itself changes nothing:",
    );
    let contact = contact(stage).await?;
    let id = number(&contact, "id").context("A contact without an id")?;
    let row = json!({ "id": id, "name": "Do not call" });
    stage.platforms.chatwoot.plant("contacts", &row).await?;
    let dry = ["resync", "--target", "chatwoot", "--dry-run"];
    let plan = stage.worker.run(&dry).await?;
    stage.screen.quote(&format!("ems-sync {}", dry.join(" ")), &plan);
    let document = stage.worker.run(&[dry.as_slice(), &["--json"]].concat()).await?;
    let document: Value = serde_json::from_str(&document)?;
    let planned = document.get("update").and_then(Value::as_i64).unwrap_or_default();
    stage.screen.check(planned == 1, "Contacts that a resync would change", &planned.to_string());
    let began = Timestamp::now();
    stage.worker.run(&["resync", "--target", "chatwoot"]).await?;
    stage.settle().await?;
    let repaired = self::contact(stage).await?;
    let name = text(&repaired, "name").unwrap_or("none");
    stage.screen.figure(
        "ems-sync resync --target chatwoot, and done",
        &took(since(began, Timestamp::now())),
    );
    let sql =
        format!("select first_name || ' ' || last_name from ems.person where email = '{THANDEKA}'");
    let is_hers = name == stage.ems.text(&sql).await?;
    stage.screen.check(is_hers, "The contact has her name again", name);
    Ok(())
}

async fn contact(stage: &Stage) -> Result<Value> {
    let contacts = stage.platforms.contacts_at_chatwoot(THANDEKA).await?;
    contacts.into_iter().next().context("Not at Chatwoot")
}
