//! Who Mautic is to us, and whether it has the fields that we write (contract, section 2a: a value for one that is not there
//! is lost without an error).

use ems_sync::remote::{FailureClass, Remote as _};
use ems_sync_remotes::mautic::Shape;
use ems_sync_remotes::{Fault, Garbage, Operation, Rule};
use serde_json::json;

use super::bench::{Bench, create, runner, word};

#[tokio::test]
async fn an_account_is_an_address_and_a_login() {
    for shape in [Shape::Object, Shape::Array] {
        let bench = Bench::with(|settings| settings.field_list = shape).await;
        let account = bench.client.account().await.unwrap();
        assert_eq!(account, bench.client.account().await.unwrap());
        assert_eq!(account.instance, None);
        assert_ne!(account, Bench::new().await.client.account().await.unwrap());
        bench.assert_no_violation();
    }
}

#[tokio::test]
async fn a_field_that_is_missing_is_named_before_anything_is_written() {
    let bench = Bench::new().await;
    bench.sim.remove_field("ems_person_id");
    let failure = bench.client.account().await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Configuration);
    assert!(failure.text.contains("no contact field ems_person_id: create it"), "{failure}");
    bench.sim.remove_field("mobile");
    let failure = bench.client.account().await.unwrap_err();
    assert!(failure.text.contains("ems_person_id, mobile"), "{failure}");
    bench.sim.plant_field(json!({ "alias": "ems_person_id", "type": "text" })).unwrap();
    bench.sim.plant_field(json!({ "alias": "mobile", "type": "text" })).unwrap();
    bench.client.account().await.unwrap();
    bench.assert_no_violation();
}

/// Somebody removes the field while we run: the contact comes back without it, and no second one is made.
#[tokio::test]
async fn a_field_that_goes_missing_stops_the_target() {
    let bench = Bench::new().await;
    let id = bench.made(7, "Nkosi").await;
    bench.sim.remove_field("ems_person_id");
    let result = bench.one(create(8, bench.wire_of(8, runner(8, "New")))).await;
    assert_eq!(word(&result), "configuration");
    let mut alarms = bench.client.alarms().listen();
    let result = bench.one(bench.update(7, id, "New")).await;
    assert_eq!(word(&result), "configuration");
    let heard = ems_sync::remote::Alarms::heard(&mut alarms);
    tokio::time::timeout(super::bench::PATIENCE, heard).await.expect("is raised at once");
}

#[tokio::test]
async fn a_list_of_fields_that_can_not_be_read_is_no_missing_field() {
    let bench = Bench::new().await;
    for fault in [
        Fault::garbage(Garbage::Html),
        Fault::garbage(Garbage::EmptyList),
        Fault::garbage(Garbage::EmptyBody),
        Fault::status(500),
    ] {
        bench.sim.faults().push(Rule::new(fault.clone()).operation(Operation::Info));
        let failure = bench.client.account().await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Transient, "{fault:?}");
    }
    bench.assert_no_violation();
}
