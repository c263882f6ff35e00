//! A result per push, each as soon as it is known, and nobody suffers for another (obligation 1).

use std::collections::BTreeSet;
use std::time::Duration;

use ems_sync::remote::{Push, PushResult, Remote as _, Results};
use ems_sync_remotes::{Fault, Garbage, Rule};

use super::bench::{Bench, delete, remote_id};
use super::kit::{Content, Kit};
use crate::support::results::{PATIENCE, word, words};

/// Pushes of all kinds in one batch, sharing requests where the remote has such: each gets its own record's id.
pub(super) async fn each_of_a_batch_gets_its_own_result<K: Kit>(bench: &Bench<K>) {
    let together = |push: Push| Push { by_itself: false, ..push };
    let batch = (1..=20).map(|id| together(bench.create(id, Content::A))).collect();
    let made = bench.many(batch).await;
    assert_eq!(words(&made), [("held", 20)].into());
    let ids: BTreeSet<_> = made.values().map(remote_id).collect();
    assert_eq!(ids.len(), 20, "every record has an id of its own");
    let batch = (1..=30).map(|id| {
        together(match id {
            1..=10 => bench.update(id, &remote_id(&made[&id]), Content::B),
            11..=15 => delete::<K>(id, &remote_id(&made[&id])),
            16..=20 => bench.create_again(id, Content::A, false),
            _ => bench.create(id, Content::Cleared),
        })
    });
    let results = bench.many(batch.collect()).await;
    for (id, result) in &results {
        let (expected, content) = match id {
            1..=10 => ("held", Content::B),
            11..=15 => ("gone", Content::A),
            16..=20 => ("adopted", Content::A),
            _ => ("held", Content::Cleared),
        };
        assert_eq!(word(result), expected, "{id}: {result:?}");
        bench.assert_true(*id, result, content);
        if matches!(id, 1..=10 | 16..=20) {
            assert_eq!(remote_id(result), remote_id(&made[id]));
        }
    }
}

pub(super) async fn one_that_hangs_holds_up_no_other<K: Kit>(bench: &Bench<K>) {
    let rule = bench.strike_write(&Fault::Hang { ms: None }, 1);
    let batch = (1..=8).map(|id| bench.create(id, Content::A)).collect();
    let (sender, mut receiver) = Results::channel();
    let push = bench.client.push(batch, sender);
    let others = async {
        let mut others = Vec::new();
        while others.len() < 7 {
            others.push(receiver.recv().await.expect("a result"));
        }
        others
    };
    let others = tokio::select! {
        () = push => panic!("one of them hangs"),
        others = tokio::time::timeout(PATIENCE, others) => others.expect("they are not held up"),
    };
    assert!(bench.has_struck(rule));
    for (entity, result) in others {
        assert_eq!(word(&result), "held", "{entity}: {result:?}");
        bench.assert_holds(entity.id, Content::A);
    }
    assert_eq!(bench.kit.records(), 7);
}

pub(super) async fn one_that_is_refused_takes_no_other_along<K: Kit>(bench: &Bench<K>) {
    for (round, fault) in
        (0..).zip([Fault::status(503), Fault::Drop, Fault::garbage(Garbage::Html)])
    {
        let rule = bench.strike_write(&fault, 1);
        let ids = round * 10 + 1..=round * 10 + 8;
        let batch = ids.map(|id| bench.create(id, Content::A)).collect();
        let results = bench.many(batch).await;
        assert!(bench.has_struck(rule));
        let held = results.values().filter(|result| word(result) == "held").count();
        assert_eq!(held, 7, "{fault:?}: {results:?}");
        for (id, result) in &results {
            bench.assert_true(*id, result, Content::A);
        }
    }
}

/// A flood of nonsense by dice, at every request: every push is answered, nothing is held that is not, and in the end there
/// is one record per entity.
pub(super) async fn whatever_is_held_under_dice_is_really_there<K: Kit>(bench: &Bench<K>) {
    let hasty = Bench::on(bench.kit.clone(), |http| http.timeout = Duration::from_secs(1)).await;
    for fault in [
        Fault::Drop,
        Fault::CommitThenDrop,
        Fault::status(500),
        Fault::status(503),
        Fault::Garbage { what: Garbage::Html, applied: true },
        Fault::Garbage { what: Garbage::TruncatedJson, applied: true },
        Fault::Garbage { what: Garbage::EmptyBody, applied: false },
        Fault::Garbage { what: Garbage::CutOff, applied: true },
    ] {
        bench.sim().faults().push(Rule::new(fault).probability(0.05).unlimited());
    }
    for round in 0..8 {
        let content = if round % 2 == 0 { Content::A } else { Content::B };
        let push = |id| Push { by_itself: false, ..hasty.create_again(id, content, true) };
        for (id, result) in hasty.many((1..=30).map(push).collect()).await {
            bench.assert_true(id, &result, content);
        }
    }
    bench.sim().faults().clear();
    let bench = bench.fresh().await;
    let batch = (1..=30).map(|id| bench.create_again(id, Content::Cleared, true)).collect();
    let results = bench.many(batch).await;
    assert!(results.values().all(|r| matches!(r, PushResult::Held { .. })), "{results:?}");
    for id in 1..=30 {
        bench.assert_holds(id, Content::Cleared);
    }
    assert_eq!(bench.kit.records(), 30);
}
