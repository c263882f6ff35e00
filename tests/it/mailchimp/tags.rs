//! Tags (contract, sections 0.4 and 2): by their own call, compared without case, and only ours are taken away.

use ems_sync::remote::PushResult;
use ems_sync_remotes::mailchimp::{Act, TagCase};
use ems_sync_remotes::{Fault, Operation, Rule};
use serde_json::{Value, json};

use super::bench::{Bench, EMAIL, NEWS, reader, word};

fn labelled(labels: &[&str]) -> Value {
    let mut row = reader("SUBSCRIBED", 1);
    row["memberships"]["news"]["labels"] = json!(labels);
    row
}

fn tag(name: &str) -> Act {
    Act::Tag { name: name.to_owned() }
}

#[tokio::test]
async fn labels_become_tags_and_foreign_tags_stay() {
    for case in [TagCase::Lower, TagCase::Sent] {
        let bench = Bench::new().await;
        bench.sim.configure(|settings| settings.tag_case = case);
        let id = bench.brought(&labelled(&["Trail", "Road", "Zoë"])).await;
        bench.act(NEWS, EMAIL, &tag("Sponsor"));
        let wanted = labelled(&["ROAD", "zoe\u{308}", "Ultra"]);
        let wire = bench.wire(42, &wanted);
        let PushResult::Held { remote_hash, .. } = bench.one(bench.update(42, &id, &wanted)).await
        else {
            panic!("not held")
        };
        assert_eq!(remote_hash, wire.hash);
        let mut tags: Vec<_> =
            bench.member(NEWS, EMAIL).tags.iter().map(|tag| tag.to_lowercase()).collect();
        tags.sort();
        assert_eq!(tags, ["road", "sponsor", "ultra", "zoë"]);
        let mark = bench.mark();
        assert_eq!(word(&bench.one(bench.update(42, &id, &wanted)).await), "adopted");
        assert_eq!(bench.writes_since(mark), 0);
        bench.assert_clean();
    }
}

#[tokio::test]
async fn a_lost_answer_between_the_calls_loses_no_tag_and_takes_away_no_foreign_one() {
    for nth in [1, 2, 3] {
        let bench = Bench::new().await;
        let id = bench.brought(&labelled(&["Trail", "Road"])).await;
        bench.act(NEWS, EMAIL, &tag("Sponsor"));
        let wanted = labelled(&["Road", "Ultra"]);
        // Taking away, writing down, setting: each of the three is lost once.
        bench
            .sim
            .faults()
            .push(Rule::new(Fault::CommitThenDrop).operation(Operation::Patch).nth(nth));
        assert_eq!(word(&bench.one(bench.update(42, &id, &wanted)).await), "ambiguous", "{nth}");
        bench.updated(&id, &wanted).await;
        let mut tags = bench.member(NEWS, EMAIL).tags;
        tags.sort();
        assert_eq!(tags, ["road", "sponsor", "ultra"], "{nth}");
        bench.updated(&id, &labelled(&[])).await;
        assert_eq!(bench.member(NEWS, EMAIL).tags, ["sponsor"], "{nth}");
        bench.assert_clean();
    }
}

/// A member's body shows fifty of them.
#[tokio::test]
async fn more_tags_than_a_member_shows_are_read_by_their_own_call() {
    let bench = Bench::new().await;
    let labels: Vec<String> = (0..40).map(|n| format!("ours {n:02}")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let id = bench.brought(&labelled(&[])).await;
    for n in 0..60 {
        bench.act(NEWS, EMAIL, &tag(&format!("foreign {n}")));
    }
    bench.updated(&id, &labelled(&labels)).await;
    assert_eq!(bench.member(NEWS, EMAIL).tags.len(), 100);
    let mark = bench.mark();
    assert_eq!(word(&bench.one(bench.update(42, &id, &labelled(&labels))).await), "adopted");
    assert_eq!(bench.writes_since(mark), 0);
    bench.updated(&id, &labelled(&labels[..1])).await;
    assert_eq!(bench.member(NEWS, EMAIL).tags.len(), 61);
    bench.assert_clean();
}
