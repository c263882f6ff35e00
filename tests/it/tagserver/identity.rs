//! Ids belong to one server (obligation 10): who it is, that it is asked again when it may be another one, and what is
//! not sent then.

use std::time::Duration;

use ems_sync::remote::{FailureClass, Remote as _};
use ems_sync_remotes::tagserver::Resource;
use ems_sync_remotes::{Fault, Garbage, Operation, Reimage, Rule};
use serde_json::json;

use super::bench::{Bench, PATIENCE, client, delete, word};

/// A bench whose client stays with the server that is there.
async fn staying() -> Bench {
    let bench = Bench::new().await;
    let account = bench.client.account().await.unwrap();
    bench.client.stay_with(account);
    bench
}

#[tokio::test]
async fn an_account_is_the_server_that_it_says_it_is_and_our_login() {
    let bench = Bench::new().await;
    let account = bench.client.account().await.unwrap();
    assert_eq!(bench.fresh().client.account().await.unwrap(), account, "the same for everybody");
    bench.sim.reimage(Reimage::Empty);
    let anew = bench.client.account().await.unwrap();
    assert_eq!(anew.login, account.login);
    assert!(anew.instance != account.instance && anew.instance.is_some());
    bench.sim.configure(|settings| settings.publish_instance = false);
    let silent = bench.client.account().await.unwrap();
    assert_eq!(silent.instance, None);
    assert_ne!(silent.login, account.login, "its address is a part of it");
    // A server without the page, or one that keeps it to itself.
    for status in [401, 403, 404] {
        bench
            .sim
            .faults()
            .push(Rule::new(Fault::status(status)).operation(Operation::Info).times(2));
        assert_eq!(bench.client.account().await.unwrap(), silent, "{status}");
        bench.sim.faults().clear();
    }
    let refused = client(&bench.settings, "wrong").account().await.unwrap_err();
    assert_eq!(refused.class, FailureClass::Authentication);
}

#[tokio::test]
async fn an_answer_that_says_nothing_is_no_account() {
    let bench = Bench::new().await;
    for fault in [
        Fault::status(500),
        Fault::status(503),
        Fault::Drop,
        Fault::garbage(Garbage::Html),
        Fault::garbage(Garbage::EmptyBody),
        Fault::garbage(Garbage::TruncatedJson),
    ] {
        bench.sim.faults().push(Rule::new(fault.clone()).operation(Operation::Info));
        let failure = bench.client.account().await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Transient, "{fault:?}");
    }
}

#[tokio::test]
async fn nothing_is_sent_to_a_server_that_was_set_up_anew() {
    let bench = staying().await;
    let id = bench.plant(7, "Old");
    bench.plant(8, "Other");
    bench.sim.reimage(Reimage::Shuffled);
    let batch = vec![bench.update(7, id, "New"), bench.create(9, "Third"), delete(8, id)];
    let results = bench.many(batch).await;
    assert!(results.values().all(|result| word(result) == "not_sent"), "{results:?}");
    tokio::time::timeout(PATIENCE, bench.client.changed()).await.expect("it tells");
    assert!(
        !bench
            .operations()
            .iter()
            .any(|operation| operation.is_write() && *operation != Operation::Bulk)
    );
    assert_eq!(bench.name_of(8).as_deref(), Some("Other"));
    // Asking for the account is no permission; being told to stay with it is.
    let account = bench.client.account().await.unwrap();
    assert_eq!(word(&bench.one(bench.create(9, "Third")).await), "not_sent");
    bench.client.stay_with(account);
    assert_eq!(word(&bench.one(bench.create(9, "Third")).await), "held");
    let unchanged = tokio::time::timeout(Duration::from_millis(50), bench.client.changed()).await;
    assert!(unchanged.is_err());
}

/// The signing secret comes with the image, so that old tokens may still be good: a lost connection is reason enough.
#[tokio::test]
async fn a_lost_connection_is_reason_to_ask_again_once() {
    let bench = staying().await;
    let id = bench.plant(7, "Old");
    assert_eq!(word(&bench.one(bench.update(7, id, "A")).await), "held");
    assert_eq!(
        bench.requests_of(Operation::Info),
        2,
        "once for the account, once before the first request"
    );
    bench.sim.faults().push(Rule::new(Fault::Drop).operation(Operation::Replace));
    assert_eq!(word(&bench.one(bench.update(7, id, "B")).await), "ambiguous");
    for name in ["C", "D"] {
        assert_eq!(word(&bench.one(bench.update(7, id, name)).await), "held");
    }
    assert_eq!(bench.requests_of(Operation::Info), 3);
    // While it can't say who it is, nothing is sent, and nobody has to wait for more than one question.
    bench.sim.new_signing_secret();
    bench.sim.faults().push(Rule::new(Fault::status(503)).operation(Operation::Info));
    let batch = (1..=8).map(|n| bench.create_again(n + 10, "New", true)).collect();
    let results = bench.many(batch).await;
    let failed = results.values().filter(|result| word(result) == "transient").count();
    assert!(failed >= 1, "{results:?}");
}

#[tokio::test]
async fn a_server_that_does_not_say_who_it_is_gets_no_replace_without_a_look() {
    let bench = Bench::new().await;
    bench.sim.configure(|settings| settings.publish_instance = false);
    let account = bench.client.account().await.unwrap();
    bench.client.stay_with(account);
    let ids: Vec<_> = (1..=3).map(|id| bench.plant(id, "Old")).collect();
    let batch = ids.iter().zip(1..).map(|(id, n)| bench.update(n, *id, "New")).collect();
    assert!(bench.many(batch).await.values().all(|result| word(result) == "held"));
    assert_eq!(bench.requests_of(Operation::Bulk), 0);
    assert_eq!(bench.requests_of(Operation::Read), 3);
    // Somebody else's by now, and one that is gone.
    bench
        .sim
        .plant(Resource::Organisation, json!({"id": ids[0], "externalId": "77", "name": "Theirs"}))
        .unwrap();
    bench.sim.remove(Resource::Organisation, ids[1]);
    for (n, id) in [(1, ids[0]), (2, ids[1])] {
        assert_eq!(word(&bench.one(bench.update(n, id, "Newer")).await), "stale_mapping");
    }
    assert_eq!(bench.name_of(77).as_deref(), Some("Theirs"));
    bench.assert_no_violation();
}

/// What is not there under the id that we know may stand under another one: it is not believed to be gone.
#[tokio::test]
async fn a_row_that_moved_is_found_by_its_key_and_deleted() {
    let bench = Bench::new().await;
    bench.plant(7, "Club");
    assert_eq!(word(&bench.one(delete(7, 123)).await), "gone");
    assert_eq!(bench.sim.row_count(Resource::Organisation), 0);
}
