//! Who said no: one person at MailChimp, and many at once by an import.

use anyhow::Result;
use serde_json::{Value, json};

use super::everywhere::THANDEKA;
use crate::platforms::{CLUB, NEWS};
use crate::remote::text;
use crate::screen::count;
use crate::stage::{Stage, within};

pub(super) async fn unsubscribed_there(stage: &mut Stage) -> Result<()> {
    stage.screen.step("Somebody unsubscribes at MailChimp");
    stage.screen.say(
        "Thandeka follows the link at the end of a newsletter. The EMS still says SUBSCRIBED, and then her name is \
         corrected there. Her name follows; she is not subscribed again.",
    );
    let act = json!({ "act": "unsubscribe", "member": THANDEKA, "list_id": NEWS });
    stage.platforms.mailchimp.act(&act).await?;
    let sql = format!("update ems.person set first_name = 'Thandekile' where email = '{THANDEKA}'");
    stage.ems.change(&[&sql]).await?;
    stage.settle().await?;
    let reader = stage.platforms.reader(THANDEKA).await?;
    let name = reader.pointer("/merge_fields/FNAME").and_then(Value::as_str).unwrap_or("none");
    let status = text(&reader, "status").unwrap_or("none");
    stage.screen.check(name == "Thandekile", "Her first name at MailChimp", name);
    stage.screen.check(status == "unsubscribed", "Her status in the list “news”", status);
    let members = stage.platforms.members(THANDEKA).await?;
    let of_club = members.iter().find(|member| text(member, "list_id") == Some(CLUB));
    let status = of_club.and_then(|member| text(member, "status")).unwrap_or("none");
    stage.screen.check(status == "subscribed", "… and in the list “club”, which she kept", status);
    Ok(())
}

pub(super) async fn mass_opt_out(stage: &mut Stage) -> Result<()> {
    stage.screen.step("An import says no for forty people at once");
    stage.screen.say(
        "It notes that they want no e-mail and takes them off all lists. That may be their wish, or a column was \
         mixed up: more than twenty at once are held until a person has decided.",
    );
    let before = stage.platforms.subscribed(NEWS).await?;
    let mark = stage.platforms.mailchimp.mark().await?;
    stage.ems.change(&[OPT_OUT, OFF_THE_LISTS]).await?;
    let held = within("The opt-outs are held", async {
        stage.ems.until(DECIDED).await?;
        stage.ems.query("select target, count(*) from sync.record where state = 'held' group by target order by 1").await
    })
    .await?;
    let mut targets: Vec<(String, i64)> = Vec::new();
    for row in &held {
        targets.push((row.try_get(0)?, row.try_get(1)?));
    }
    let at_mailchimp = targets.iter().find(|(target, _)| target == "mailchimp").map_or(0, |t| t.1);
    stage.screen.check(
        at_mailchimp > 20,
        "Opt-outs held at MailChimp",
        &count(u64::try_from(at_mailchimp)?),
    );
    let journal = stage.platforms.mailchimp.journal(mark).await?;
    let sent = journal.iter().filter(|entry| entry.operation.is_write()).count();
    stage.screen.check(sent == 0, "Writes that reached MailChimp by then", &sent.to_string());
    let status: Value = serde_json::from_str(&stage.worker.run(&["status", "--json"]).await?)?;
    let states = status.get("targets").and_then(Value::as_array).cloned().unwrap_or_default();
    let state = states.iter().find(|row| text(row, "target") == Some("mailchimp"));
    let state = state.and_then(|row| text(row, "state")).unwrap_or("unknown").to_owned();
    stage.screen.check(state == "held", "ems-sync status says of MailChimp", &state);
    stage.screen.say("The club confirms that it asked them. A person approves, and says why:");
    for (target, _) in &targets {
        let arguments = ["target", "approve", target.as_str(), "--reason", "asked-by-letter"];
        let text = stage.worker.run(&arguments).await?;
        stage.screen.quote(&format!("ems-sync {}", arguments.join(" ")), &text);
    }
    stage.settle().await?;
    let after = stage.platforms.subscribed(NEWS).await?;
    let left = before.saturating_sub(after);
    stage.screen.check(
        i64::try_from(left)? == at_mailchimp,
        "Members who left the list “news” then",
        &count(left),
    );
    Ok(())
}

/// Forty who read the news and share their address with nobody.
const OPT_OUT: &str = "
    insert into ems.contact_preference (person_id, channel, opted_in, reason)
    select p.id, 'EMAIL', false, 'import'
    from ems.person p
    join ems.list_membership m on m.person_id = p.id and m.list_code = 'news'
    where lower(p.email) in (select lower(email) from ems.person group by lower(email) having count(*) = 1)
      and p.email not like 'thandeka%'
    order by p.id limit 40";

const OFF_THE_LISTS: &str = "
    delete from ems.list_membership m using ems.contact_preference c
    where c.person_id = m.person_id and c.reason = 'import'";

/// Everything is done or held.
const DECIDED: &str = "
    exists (select from sync.record where state = 'held') and not exists (select from sync.outbox) and not exists (
         select from sync.record where owed_gen > done_gen and state <> 'held' and due_on < now() + interval '2 minutes')";
