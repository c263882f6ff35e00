//! Who we are, and whether the lists have what the mapping needs (contract, sections 1, 2 and 4).

use ems_sync::remote::{FailureClass, Remote as _};
use ems_sync_remotes::mailchimp::{Kind, ListOptions, MailChimpOptions, MergeField};
use ems_sync_remotes::{Fault, Garbage, Operation, Reimage, Rule};

use super::bench::{Bench, CLUB, NEWS, client, options, reader, word};

fn tags(bench: &Bench, list: &str) -> Vec<String> {
    use ems_sync_remotes::Remote as _;
    let fields = bench.sim.remote().rows_of("merge-fields").unwrap();
    let of_list = fields.iter().filter(|field| field["list_id"] == list);
    of_list.map(|field| field["tag"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn our_merge_fields_are_made_once_and_are_not_public() {
    let bench = Bench::bare(options()).await;
    bench.client.account().await.unwrap();
    for list in [NEWS, CLUB] {
        let tags = tags(&bench, list);
        let count = |name: &str| tags.iter().filter(|tag| *tag == name).count();
        assert_eq!(["EMSID", "EMSOUT", "EMSTAGS"].map(count), [1, 1, 1]);
    }
    use ems_sync_remotes::Remote as _;
    let fields = bench.sim.remote().rows_of("merge-fields").unwrap();
    let ours = |field: &&serde_json::Value| field["tag"].as_str().unwrap().starts_with("EMS");
    assert!(fields.iter().filter(ours).all(|f| f["public"] == false && f["type"] == "text"));
    let mark = bench.mark();
    bench.client.account().await.unwrap();
    assert_eq!(bench.writes_since(mark), 0);
    bench.assert_clean();
}

#[tokio::test]
async fn a_lost_answer_to_a_new_merge_field_makes_no_second_one() {
    let bench = Bench::bare(options()).await;
    bench.sim.faults().push(Rule::new(Fault::CommitThenDrop).operation(Operation::Create));
    assert!(bench.client.account().await.is_err());
    bench.client.account().await.unwrap();
    assert_eq!(tags(&bench, NEWS).iter().filter(|tag| *tag == "EMSID").count(), 1);
    bench.assert_clean();
}

#[tokio::test]
async fn a_list_that_can_not_be_used_is_a_matter_of_configuration_and_says_what_to_do() {
    let missing = MailChimpOptions { lists: vec![ListOptions::named(NEWS)], ..options() };
    let mut nameless = ListOptions::named(NEWS);
    nameless.merge_fields.retain(|field| field.tag != "LNAME");
    let numeric = ListOptions::named(NEWS).with_field(MergeField::new("EMSID", "x", Kind::Number));
    let with = |list: ListOptions| MailChimpOptions {
        lists: vec![list, ListOptions::named(CLUB)],
        ..options()
    };
    for (options, words) in [
        (missing, "targets.mailchimp.lists.club"),
        (with(nameless), "LNAME"),
        (with(numeric), "EMSID"),
    ] {
        let bench = Bench::bare(options).await;
        let failure = bench.client.account().await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Configuration, "{failure}");
        assert!(failure.text.contains(words), "{failure}");
        bench.assert_clean();
    }
}

#[tokio::test]
async fn a_wrong_key_and_a_deactivated_account_are_told_at_once() {
    let bench = Bench::new().await;
    let wrong = client(&bench.settings, "wrong-us19");
    assert_eq!(wrong.account().await.unwrap_err().class, FailureClass::Authentication);
    assert_eq!(wrong.probe().await.unwrap_err().class, FailureClass::Authentication);
    bench.client.probe().await.unwrap();
    bench.sim.configure(|settings| settings.deactivated = true);
    assert_eq!(bench.client.account().await.unwrap_err().class, FailureClass::Configuration);
}

#[tokio::test]
async fn an_answer_that_is_none_is_no_account() {
    let bench = Bench::new().await;
    for garbage in [
        Garbage::Html,
        Garbage::TruncatedJson,
        Garbage::EmptyList,
        Garbage::EmptyBody,
        Garbage::CutOff,
    ] {
        for operation in [Operation::Info, Operation::List, Operation::Read] {
            bench.sim.faults().push(Rule::new(Fault::garbage(garbage)).operation(operation));
            let failure = bench.client.account().await.unwrap_err();
            assert_eq!(
                failure.class,
                FailureClass::Transient,
                "{garbage:?} {operation:?} {failure}"
            );
        }
    }
    bench.client.account().await.unwrap();
}

#[tokio::test]
async fn nothing_is_written_to_another_account() {
    let bench = Bench::new().await;
    let ours = bench.client.account().await.unwrap();
    bench.sim.reimage(Reimage::Empty);
    let theirs = bench.client.account().await.unwrap();
    assert_ne!(ours, theirs);
    tokio::time::timeout(super::bench::PATIENCE, bench.client.changed()).await.unwrap();
    assert_eq!(word(&bench.one(bench.create(42, &reader("SUBSCRIBED", 1))).await), "not_sent");
    assert_eq!(bench.sim.rows(NEWS), []);
    bench.client.stay_with(theirs);
    assert_eq!(word(&bench.one(bench.create(42, &reader("SUBSCRIBED", 1))).await), "held");
    bench.assert_clean();
}
