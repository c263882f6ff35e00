//! A success that says nothing is no success and no absence (obligation 2).

use ems_sync::remote::PushResult;
use ems_sync_remotes::{Fault, Garbage, Rule};
use serde_json::json;

use super::bench::{Bench, answers, page};
use super::kit::{Content, Kit};
use crate::support::results::word;

/// Which of [`Bench::of_every_kind`] look for a record and take absence for proven.
const LOOKS: [usize; 2] = [1, 4];

/// Nonsense with a success status.
fn nonsense<K: Kit>() -> Vec<Fault> {
    let mut faults: Vec<Fault> = [
        Garbage::Html,
        Garbage::TruncatedJson,
        Garbage::CutOff,
        Garbage::EmptyBody,
        Garbage::StrangersRecord,
    ]
    .map(Fault::garbage)
    .into();
    if !K::NOTHING_IS_EMPTY_LIST {
        faults.push(Fault::garbage(Garbage::EmptyList));
    }
    faults
        .extend([json!({}), json!(null), json!([null]), json!(7), K::empty_success()].map(answers));
    let no_content = |code| Fault::Status { code, headers: Vec::new(), body: None, applied: false };
    faults.extend([no_content(202), no_content(206)]);
    faults
}

/// Every request of a push is answered so.
pub(super) async fn a_senseless_success_is_never_success<K: Kit>(bench: &Bench<K>) {
    let record = bench.made(7, Content::A).await;
    bench.made(8, Content::A).await;
    for fault in nonsense::<K>() {
        let bench = bench.fresh().await;
        let writes = bench.writes();
        let rule = bench.strike_all(&fault);
        for (kind, push) in bench.of_every_kind(7, &record).into_iter().enumerate() {
            // A list that shows others only is a lie that no client can see through where records carry no key.
            let lies = matches!(fault, Fault::Garbage { what: Garbage::StrangersRecord, .. });
            if lies && LOOKS.contains(&kind) && !K::CARRIES_KEYS {
                continue;
            }
            let kind = format!("{fault:?} {:?}", push.action);
            let result = bench.one(push).await;
            match &result {
                PushResult::Failed(_) => {}
                // The remote did not even say who it is.
                PushResult::NotSent => assert_eq!(bench.writes(), writes, "{kind}"),
                _ => panic!("{kind}: {result:?}"),
            }
            // Nothing was applied, but how should we know: no class may say that the data or the target is to blame.
            assert!(!["rejected", "postponed"].contains(&word(&result)), "{kind}: {result:?}");
        }
        bench.sim().faults().remove(rule);
    }
    bench.assert_holds(7, Content::A);
    bench.assert_holds(8, Content::A);
}

/// One request of a push is answered so, whichever it is, whether it was applied or not: what is claimed is true.
pub(super) async fn one_senseless_answer_makes_no_claim_that_is_not_true<K: Kit>(bench: &Bench<K>) {
    let [html, half, stranger] = [Garbage::Html, Garbage::TruncatedJson, Garbage::StrangersRecord];
    let empty = (!K::NOTHING_IS_EMPTY_LIST).then_some(Garbage::EmptyList);
    let mut faults = vec![page(404), page(400)];
    for what in [html, half, stranger].into_iter().chain(empty) {
        faults.extend([false, true].map(|applied| Fault::Garbage { what, applied }));
    }
    let mut id = 0;
    for fault in faults {
        for kind in usize::from(!K::CARRIES_KEYS)..5 {
            // A list that shows others only is a lie that no client can see through where records carry no key.
            let lies = matches!(fault, Fault::Garbage { what: Garbage::StrangersRecord, .. });
            if lies && LOOKS.contains(&kind) && !K::CARRIES_KEYS {
                continue;
            }
            for nth in 1.. {
                id += 1;
                let record = bench.made(id, Content::A).await;
                let push = bench.of_every_kind(id, &record).swap_remove(kind);
                let which = format!("{fault:?} to request {nth} of {:?}", push.action);
                let rule = bench.sim().faults().push(Rule::new(fault.clone()).nth(nth));
                let records = bench.kit.records();
                let result = bench.one(push).await;
                let has_struck = bench.has_struck(rule);
                assert!(bench.kit.records() <= records, "{which}: a second record: {result:?}");
                let is_gone = result == PushResult::Gone && bench.kit.held(id).is_some();
                assert!(!is_gone, "{which}: it is still there");
                bench.assert_true(id, &result, Content::B);
                assert_ne!(result, PushResult::Unsettled, "{which}: it was there");
                if !has_struck {
                    assert!(!matches!(result, PushResult::Failed(_)), "{which}: {result:?}");
                    break;
                }
            }
        }
    }
}

/// A proxy that answers 404 with a page says nothing of the record; nor does any other error.
pub(super) async fn an_error_page_is_no_absence<K: Kit>(bench: &Bench<K>) {
    let record = bench.made(7, Content::A).await;
    for code in [400, 404, 500, 502, 503] {
        let rule = bench.strike_all(&page(code));
        for push in bench.of_every_kind(7, &record) {
            let kind = format!("{code} {:?}", push.action);
            let result = bench.one(push).await;
            // Nothing may be forgotten for it, and no person may be bothered with it at once.
            let tells_nothing = ["transient", "ambiguous"].contains(&word(&result));
            assert!(tells_nothing, "{kind}: {result:?}");
        }
        bench.sim().faults().remove(rule);
    }
    bench.assert_holds(7, Content::A);
}
