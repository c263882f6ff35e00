//! What is pulled: conversations, by windows of the server's clock (contract, section 5).

use std::collections::BTreeSet;

use ems_sync::entity::EntityType;
use ems_sync::remote::inbound::{PullFrom, Stream};
use ems_sync_remotes::chatwoot::{Author, Resource};
use serde_json::json;

use super::bench::{Bench, remote_id, thandi};
use super::pull::{conversations, plant, plant_conversation, walk, wire};

/// One inbox page and windows on top of it, whatever the server's clock says in comparison with ours.
#[tokio::test]
async fn conversations_that_changed_are_asked_for_by_the_servers_clock() {
    for ahead in [-86_400, -3_600, 0, 3_600, 86_400] {
        let bench = Bench::new().await;
        bench.sim.configure(|settings| settings.clock_offset_seconds = ahead);
        let contact = plant(&bench, 1)[0];
        let old = 1_700_000_000;
        let planted: Vec<(i64, String)> = (0..60)
            .map(|n| {
                plant_conversation(
                    &bench,
                    json!({"contact_id": contact, "updated_at": old, "last_activity_at": old + n}),
                )
            })
            .collect();
        let first = conversations(&bench, None).await;
        assert_eq!((first.shown.len(), first.pages), (60, 3), "everything, page by page");
        let quiet = conversations(&bench, first.cursor).await;
        assert_eq!((quiet.shown.len(), quiet.pages), (0, 1));
        bench.sim.message(planted[7].0, Author::Contact, "canary").unwrap();
        bench
            .sim
            .plant(Resource::Conversation, json!({"id": planted[30].0, "status": "resolved"}))
            .unwrap();
        let requests = bench.sim.journal().len();
        let changed = conversations(&bench, quiet.cursor.clone()).await;
        assert_eq!(bench.sim.journal().len(), requests + 1);
        let names: BTreeSet<&String> = changed.shown.keys().collect();
        assert_eq!(names, [&planted[7].1, &planted[30].1].into(), "{ahead} s ahead");
        assert_eq!(wire(&changed.shown[&planted[30].1]).body["status"], "resolved");
        // Again: the windows overlap.
        assert_eq!(conversations(&bench, changed.cursor).await.shown.len(), 2);
        bench.assert_no_violation();
    }
}

#[tokio::test]
async fn after_a_while_the_window_is_larger_and_after_long_everything_is_walked() {
    for (away, requests, shown, why) in [
        (60, 1, 1, "a usual walk"),
        (3 * 3_600, 2, 1, "the answer tells that more is needed"),
        (7 * 3_600, 3, 30, "too long for one answer"),
        (-3_600, 3, 30, "the server's clock was set back"),
    ] {
        let bench = Bench::new().await;
        let contact = plant(&bench, 1)[0];
        for _ in 0..29 {
            plant_conversation(&bench, json!({"contact_id": contact, "updated_at": 1_700_000_000}));
        }
        let first = conversations(&bench, None).await;
        let (_, name) = plant_conversation(&bench, json!({"contact_id": contact}));
        bench.sim.configure(|settings| settings.clock_offset_seconds = away);
        let before = bench.sim.journal().len();
        let walked = conversations(&bench, first.cursor).await;
        assert!(walked.shown.contains_key(&name) && walked.cursor.is_some(), "{why}");
        assert_eq!(
            (bench.sim.journal().len() - before, walked.shown.len()),
            (requests, shown),
            "{why}"
        );
        bench.assert_no_violation();
    }
}

#[tokio::test]
async fn a_full_walk_shows_all_conversations_though_some_go_meanwhile() {
    let bench = Bench::new().await;
    let contact = plant(&bench, 1)[0];
    let planted: Vec<(i64, String)> = (0..80)
        .map(|n| {
            plant_conversation(
                &bench,
                json!({"contact_id": contact, "last_activity_at": 1_700_000_000 - n}),
            )
        })
        .collect();
    let cursor = conversations(&bench, None).await.cursor;
    let from = PullFrom { cursor, full: true, ..PullFrom::default() };
    let walked = walk(&bench, Stream::Conversations, from, |page| match page {
        2 => drop(bench.sim.remove(Resource::Conversation, planted[3].0)),
        4 => drop(bench.sim.remove(Resource::Conversation, planted[40].0)),
        _ => {}
    })
    .await
    .unwrap();
    let missed: Vec<_> =
        planted.iter().filter(|(_, name)| !walked.shown.contains_key(name)).collect();
    assert!(missed.is_empty(), "those that went had been shown: {missed:?}");
    assert!(!walked.shows_all, "nothing follows from a conversation that is not shown");
    bench.assert_no_violation();
}

#[tokio::test]
async fn of_a_conversation_metadata_comes_back_and_no_words_or_names() {
    let bench = Bench::new().await;
    let contact = bench.plant(json!({"name": "canary", "email": "canary@example.org"}));
    let (id, name) = plant_conversation(
        &bench,
        json!({"contact_id": contact, "inbox_id": 1, "assignee_id": 5, "labels": ["vip", "bib"],
               "custom_attributes": {"note": "canary"}, "additional_attributes": {"mail_subject": "canary"}}),
    );
    bench.sim.message(id, Author::Contact, "canary").unwrap();
    let walked = conversations(&bench, None).await;
    let shown = &walked.shown[&name];
    let body = wire(shown).body.as_object().unwrap().clone();
    assert!(
        !json!(body).to_string().contains("canary") && !json!(body).to_string().contains("Agent")
    );
    assert_eq!(body["external_id"], json!(name));
    assert_eq!((&body["source"], &body["inbox"]), (&json!("chatwoot"), &json!("1")));
    assert_eq!((&body["labels"], &body["assignee"]), (&json!(["bib", "vip"]), &json!("agent 5")));
    assert!(body["last_activity_at"].is_string());
    assert_eq!(shown.entity_type, EntityType::Conversation);
    assert!(shown.modified_on.is_some());
    assert_eq!(shown.parents.len(), 1);
    assert_eq!(
        (&shown.parents[0].remote_id, shown.parents[0].required),
        (&contact.to_string(), false)
    );
}

#[tokio::test]
async fn a_merge_that_moves_a_conversation_is_a_change_of_it() {
    let bench = Bench::new().await;
    let contact = |n: i64| json!({"name": "Agent's", "email": format!("agents{n}@example.org")});
    let ids = [1, 2].map(|n| bench.plant(contact(n)));
    let (_, name) = plant_conversation(&bench, json!({"contact_id": ids[1]}));
    let before = conversations(&bench, None).await;
    bench.sim.merge(ids[0], ids[1]).unwrap();
    let after = conversations(&bench, before.cursor.clone()).await;
    assert_ne!(wire(&before.shown[&name]).hash, wire(&after.shown[&name]).hash);
    assert_eq!(after.shown[&name].parents[0].remote_id, ids[0].to_string());
}

/// The contact is adopted, which does not touch the conversation: a walk over everything tells.
#[tokio::test]
async fn that_it_is_known_whose_a_conversation_is_is_a_change_of_it() {
    let bench = Bench::new().await;
    let contact = bench.plant(json!({"name": "Thandi Nkosi", "email": "thandi@example.org"}));
    let (_, name) = plant_conversation(&bench, json!({"contact_id": contact}));
    let before = conversations(&bench, None).await;
    assert_eq!(remote_id(&bench.one(bench.create(42, thandi())).await), contact);
    let after = conversations(&bench, None).await;
    assert_ne!(wire(&before.shown[&name]).hash, wire(&after.shown[&name]).hash);
    assert_eq!(wire(&after.shown[&name]).body["ems_person_id"], "42");
    assert_eq!(before.shown[&name].parents, after.shown[&name].parents);
}
