//! Who calls (contract, section 1): the key's v2 form, the caller registration, and what a refusal of them means.

use ems_sync::remote::{Failure, Remote as _};
use ems_sync_remotes::runsignup::CallerRegistration;
use secrecy::SecretString;
use serde_json::json;

use super::bench::{Bench, TEN, client, credentials, word};

fn said(bench: &Bench, error: &Failure) {
    for secret in ["ems-sync-key", "ems-sync-secret", "ems-sync-caller", "127.0.0.1"] {
        assert!(!error.to_string().contains(secret), "{error}");
    }
    bench.assert_no_violation();
}

#[tokio::test]
async fn the_account_is_the_address_and_the_key_and_is_asked_for_by_a_call_that_needs_it() {
    let bench = Bench::new().await;
    let account = bench.client.account().await.unwrap();
    assert_eq!(bench.fresh().client.account().await.unwrap(), account);
    bench.client.probe().await.unwrap();
    assert_eq!(bench.requests(), 3);
    assert!(account.instance.is_none());
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_wrong_key_is_refused_by_an_error_in_a_success() {
    let bench = Bench::new().await;
    let wrong = ems_sync::remote::runsignup::Credentials {
        secret: SecretString::from("wrong"),
        ..credentials()
    };
    let client = client(&bench.settings, wrong, false);
    let error = client.account().await.unwrap_err();
    assert_eq!(error.class.name(), "authentication");
    said(&bench, &error);
}

#[tokio::test]
async fn a_key_that_is_revoked_in_mid_batch_alarms_at_once_and_loses_nothing() {
    let bench = Bench::warm().await;
    let mut alarms = bench.client.alarms().listen();
    bench.registered(1, TEN).await;
    bench.sim.configure(|settings| settings.key_valid = false);
    let results = bench.many((2..8).map(|id| bench.create(id, TEN)).collect()).await;
    assert!(results.values().all(|result| word(result) == "authentication"));
    let alarm = ems_sync::remote::Alarms::heard(&mut alarms).await;
    assert_eq!(alarm.class.name(), "authentication");
    bench.sim.configure(|settings| settings.key_valid = true);
    let results = bench.many((2..8).map(|id| bench.create(id, TEN)).collect()).await;
    assert!(results.values().all(|result| word(result) == "held"));
    assert_eq!(bench.standing().len(), 7);
    bench.assert_no_violation();
}

/// From 2027 on every call needs it; a wrong one fails every call today.
#[tokio::test]
async fn the_caller_registration_goes_with_every_call_or_with_none() {
    let bench = Bench::new().await;
    bench.sim.configure(|s| s.caller_registration = CallerRegistration::Required);
    let error = bench.client.probe().await.unwrap_err();
    assert_eq!(error.class.name(), "configuration");
    said(&bench, &error);
    let with = |secret: &str| ems_sync::remote::runsignup::Credentials {
        caller: Some(("17.ems-sync-caller".to_owned(), SecretString::from(secret))),
        ..credentials()
    };
    let wrong = client(&bench.settings, with("wrong"), false).probe().await.unwrap_err();
    assert_eq!(wrong.class.name(), "configuration");
    said(&bench, &wrong);
    let client = client(&bench.settings, with("ems-sync-caller-secret"), false);
    let registered = Bench { sim: bench.sim.clone(), settings: bench.settings.clone(), client };
    let created = registered.one(registered.create_of(5, TEN, json!({}))).await;
    assert_eq!(word(&created), "held");
    bench.assert_no_violation();
}

/// By choice only: the secret stands in each URL then.
#[tokio::test]
async fn an_old_key_is_sent_in_the_query_where_that_is_chosen() {
    let bench = Bench::new().await;
    let with = |secret: &str| ems_sync::remote::runsignup::Credentials {
        version: ems_sync::remote::runsignup::KeyVersion::V1,
        secret: SecretString::from(secret),
        ..credentials()
    };
    let wrong = client(&bench.settings, with("wrong"), false).account().await.unwrap_err();
    assert_eq!(wrong.class.name(), "authentication");
    assert!(!wrong.to_string().contains("wrong"), "{wrong}");
    let client = client(&bench.settings, with("ems-sync-secret"), false);
    let old = Bench { sim: bench.sim.clone(), settings: bench.settings.clone(), client };
    assert_eq!(word(&old.one(old.create_of(5, TEN, json!({}))).await), "held");
    let kinds: std::collections::BTreeSet<_> =
        bench.sim.violations().into_iter().map(|violation| violation.code).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["secret_in_url"], "and nothing else");
}

/// Ids belong to one account (obligation 11).
#[tokio::test]
async fn nothing_is_written_to_another_account_than_the_one_to_stay_with() {
    let bench = Bench::warm().await;
    let other = client(
        &ems_sync::remote::HttpSettings {
            budget: None,
            base_url: bench.settings.base_url.replace("127.0.0.1", "localhost"),
            ..bench.settings.clone()
        },
        credentials(),
        false,
    );
    let theirs = other.account().await.unwrap();
    bench.client.stay_with(theirs);
    bench.client.account().await.unwrap();
    tokio::time::timeout(super::bench::PATIENCE, bench.client.changed()).await.unwrap();
    let written = bench.writes();
    assert_eq!(word(&bench.one(bench.create(5, TEN)).await), "not_sent");
    assert_eq!(bench.writes(), written);
}
