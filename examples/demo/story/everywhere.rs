//! All five remotes: registration opens at one more of them, somebody appears everywhere, and a family shares an address.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::platforms::{CLUB, NEWS, RUNSIGNUP_EVENT};
use crate::remote::{Remote, text};
use crate::runners::RUN;
use crate::screen::{count, took};
use crate::stage::{Stage, title};

/// The runner whom the story follows.
pub(super) const THANDEKA: &str = "thandeka@runners.example";
const FAMILY: &str = "family-dlamini@runners.example";

pub(super) async fn opened_at_runsignup(stage: &mut Stage) -> Result<()> {
    stage.screen.step(&format!("The {RUN} is open at RunSignup, too"));
    stage.screen.say(&format!(
        "Races are not pulled yet, so a person maps them. Only the {RUN} is: RunSignup serves two calls at once, and \
         about 100 registrations there are enough to watch."
    ));
    let event = stage.ems.text("select name from ems.event").await?;
    stage.platforms.open_registration(&event, RUN).await?;
    stage
        .ems
        .administer(&format!(
            "insert into sync.record (target, entity_type, entity_id, remote_id)
             select 'runsignup', 'race', id, '{RUNSIGNUP_EVENT}' from ems.race where name = '{RUN}'
             on conflict (target, entity_type, entity_id) do update set remote_id = excluded.remote_id"
        ))
        .await?;
    let id = stage.ems.number(&format!("select id from ems.race where name = '{RUN}'")).await?;
    stage.screen.figure(
        &format!("Race {id} of the EMS is, at RunSignup, event"),
        &RUNSIGNUP_EVENT.to_string(),
    );
    Ok(())
}

/// What the load has brought to the four platforms.
pub(super) async fn who_is_where(stage: &mut Stage) -> Result<()> {
    let platforms = &stage.platforms;
    let rows = |n: Vec<Value>| u64::try_from(n.len());
    let mautic = rows(platforms.mautic.rows("contacts").await?)?;
    let chatwoot = rows(platforms.chatwoot.rows("contacts").await?)?;
    let (news, club) = (platforms.subscribed(NEWS).await?, platforms.subscribed(CLUB).await?);
    let registered = platforms.registered().await?;
    let addresses = stage.ems.count("select count(distinct email) from ems.person").await?;
    let phones = "select count(*) from ems.person where email is null and phone is not null";
    let phones = stage.ems.count(phones).await?;
    let readers = |list: &str| {
        format!(
            "select count(distinct email) from ems.person p join ems.list_membership m on m.person_id = p.id
             where m.list_code = '{list}' and p.id in (select min(id) from ems.person group by email)"
        )
    };
    let news_wanted = stage.ems.count(&readers("news")).await?;
    let club_wanted = stage.ems.count(&readers("club")).await?;
    let entries = stage
        .ems
        .count(&format!(
            "select count(*) from ems.event_participant e join ems.race r on r.id = e.race_id where r.name = '{RUN}'"
        ))
        .await?;
    let screen = &mut stage.screen;
    screen.say("Meanwhile, at the others, where a family that shares an address is one contact:");
    screen.check(mautic == addresses, "Contacts at Mautic", &count(mautic));
    screen.check(
        chatwoot == addresses + phones,
        &format!("Contacts at Chatwoot, {} of them with a phone number only", count(phones)),
        &count(chatwoot),
    );
    screen.check(news == news_wanted, "Members of the list “news” at MailChimp", &count(news));
    screen.check(club == club_wanted, "Members of the list “club” at MailChimp", &count(club));
    screen.check(
        registered == entries,
        &format!("Registrations for the {RUN} at RunSignup"),
        &count(registered),
    );
    Ok(())
}

pub(super) async fn one_appears_everywhere(stage: &mut Stage) -> Result<()> {
    stage.screen.step("A runner registers, and appears at all five");
    stage.screen.say(&format!(
        "Thandeka enters the {RUN} and ticks both mailing lists: one transaction of the EMS. From its commit to the \
         remote's last answer:"
    ));
    let all = [
        &*stage.tagserver,
        &stage.platforms.mautic,
        &stage.platforms.mailchimp,
        &stage.platforms.runsignup,
        &stage.platforms.chatwoot,
    ];
    let mut marks = Vec::new();
    for remote in all {
        marks.push(remote.mark().await?);
    }
    let change = stage
        .ems
        .change(&[&enter("Thandeka", "1991-03-04", "FEMALE", THANDEKA, "09001", &["news", "club"])])
        .await?;
    let person = person_of(stage, "09001").await?;
    let sql = "select id from ems.event_participant where number = '09001'";
    let registration = stage.ems.number(sql).await?;
    let mut latencies = Vec::new();
    for (remote, mark) in all.into_iter().zip(marks) {
        // TagServer and RunSignup: the registration, which comes last.
        let (id, writes) = match remote.name() {
            "tagserver" | "runsignup" => (registration, 1),
            "mailchimp" => (person, 2),
            _ => (person, 1),
        };
        let latency = Stage::arrival_at(remote, mark, &change, id, writes).await?;
        latencies.push((what_appears(remote), latency));
    }
    for (fact, latency) in latencies {
        stage.screen.figure(&fact, &took(latency));
    }
    stage.settle().await?;
    let mut lists: Vec<_> = Vec::new();
    for member in stage.platforms.members(THANDEKA).await? {
        if text(&member, "status") == Some("subscribed") {
            lists.extend(text(&member, "list_id").map(str::to_owned));
        }
    }
    lists.sort();
    let are_right = lists == [NEWS, CLUB];
    let number = count(u64::try_from(lists.len())?);
    stage.screen.check(are_right, "Lists that she is in, which are the right ones", &number);
    Ok(())
}

fn what_appears(remote: &Remote) -> String {
    let what = match remote.name() {
        "tagserver" => "the registration, after the person",
        "mailchimp" => "a member of both lists",
        "runsignup" => "looked for, registered, and read back",
        _ => "a contact",
    };
    format!("{}: {what}", title(remote.name()))
}

pub(super) async fn family_shares(stage: &mut Stage) -> Result<()> {
    stage.screen.step("A family shares an e-mail address");
    stage.screen.say(
        "Sipho enters himself and his daughter Nomvula with one address. Mautic, MailChimp and Chatwoot know a person \
         by the address, so it has one owner: whoever was there first.",
    );
    stage
        .ems
        .change(&[
            &enter("Sipho", "1979-05-17", "MALE", FAMILY, "09002", &["news"]),
            &enter("Nomvula", "2009-11-30", "FEMALE", FAMILY, "09003", &["news"]),
        ])
        .await?;
    stage.settle().await?;
    let (sipho, nomvula) = (person_of(stage, "09002").await?, person_of(stage, "09003").await?);
    let mautic = stage.platforms.contacts_at_mautic(FAMILY).await?;
    let chatwoot = stage.platforms.contacts_at_chatwoot(FAMILY).await?;
    let members = stage.platforms.members(FAMILY).await?;
    let owner = sipho.to_string();
    let mine = |rows: &[Value], pointer: &str| {
        let [row] = rows else { return false };
        row.pointer(pointer).and_then(Value::as_str) == Some(&owner)
    };
    for (name, is_mine) in [
        ("Mautic", mine(&mautic, "/ems_person_id")),
        ("MailChimp", mine(&members, "/merge_fields/EMSID")),
        ("Chatwoot", mine(&chatwoot, "/custom_attributes/ems_person_id")),
    ] {
        let fact = format!("{name}: one record with that address; its owner");
        stage.screen.check(is_mine, &fact, &format!("Sipho, person {sipho}"));
    }
    let id = nomvula.to_string();
    let explained = stage.worker.run(&["explain", "person", &id, "--json"]).await?;
    let explained: Value = serde_json::from_str(&explained)?;
    let rows = explained.get("targets").and_then(Value::as_array).context("Nothing explained")?;
    stage.screen.say(&format!("Nomvula, person {nomvula}, as `ems-sync explain` tells it:"));
    let mut shared = 0;
    for row in rows.iter().filter(|row| text(row, "entity") == Some("person")) {
        let word = |field| text(row, field).unwrap_or_default();
        shared += u64::from(word("reason") == "shared_email");
        stage.screen.figure(
            &format!("  {}", title(word("target"))),
            &format!("{} ({})", word("state"), word("reason")),
        );
    }
    stage.screen.note(
        "“Carried”: at RunSignup there is no person without a registration, which holds her name.",
    );
    stage.screen.check(shared == 3, "Places where the address is somebody else's", &count(shared));
    Ok(())
}

async fn person_of(stage: &Stage, bib: &str) -> Result<i64> {
    super::race_day::person_with_bib(stage, bib).await
}

/// A Dlamini enters the race that is at RunSignup, and these lists.
fn enter(
    first_name: &str,
    born: &str,
    gender: &str,
    email: &str,
    bib: &str,
    lists: &[&str],
) -> String {
    let lists = lists.join("', '");
    format!(
        "with person as (
             insert into ems.person (first_name, last_name, email, date_of_birth, gender, language, city, country)
             values ('{first_name}', 'Dlamini', '{email}', '{born}', '{gender}', 'zu', 'eThekwini', 'ZA')
             returning id
         ), registration as (
             insert into ems.event_participant (event_id, person_id, race_id, number, registered_on, paid)
             select r.event_id, person.id, r.id, '{bib}', now(), true
             from person, ems.race r where r.name = '{RUN}'
         )
         insert into ems.list_membership (person_id, list_code, status)
         select id, unnest(array['{lists}']), 'SUBSCRIBED' from person"
    )
}
