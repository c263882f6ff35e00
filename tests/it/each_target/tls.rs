//! HTTPS throughout, with an authority of the configuration; and who can't show a certificate of it gets not a byte.

use ems_sync::target::Target;
use ems_sync_remotes::Certificate;
use serde_json::Value;

use super::bed::Bed;

/// All five at once: what they hold is what the EMS has, by `verify`, which reads over HTTPS as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_target_is_brought_up_to_date_over_https() {
    let bed = Bed::with(&Target::ALL, Some(Certificate::Valid)).await;
    let running = bed.rig.start_all();
    bed.populate(20).await;
    bed.rig.settled().await;
    bed.rig
        .exec(
            "update ems.person set last_name = last_name || ' A' where id > 10;
             delete from ems.person where id <= 3;
             update ems.contact_preference set opted_in = false where person_id = 5",
        )
        .await;
    bed.rig.settled().await;
    for target in Target::ALL {
        assert!(bed.address(target).0.starts_with("https://"));
        let (code, document) = bed.verify(target, false).await;
        assert_eq!(code, 0, "{document:#}");
        assert!(document["matched"].as_i64().unwrap() >= 17, "{document:#}");
        assert_eq!(bed.violations(target), [], "{target}");
    }
    assert_eq!(bed.rig.count("select count(*) from sync.dead_letter").await, 0);
    running.stop().await;
}

async fn refused(certificate: Certificate) {
    let mut bed = Bed::with(&Target::ALL, Some(certificate)).await;
    bed.rig.set("RETRY__BASE_DELAY", "50ms");
    let running = bed.rig.start_all();
    bed.populate(20).await;
    // Each is seen to be out of reach by the breaker that all processes share.
    bed.rig.until("select count(*) from sync.target where breaker <> 'open'", "out of reach").await;
    let (_, text) = bed.rig.run(&["status", "--json"]).await;
    let status: Value = serde_json::from_str(&text).unwrap();
    for row in status["targets"].as_array().unwrap() {
        assert_eq!(row["breaker"], "open", "{row:#}");
        assert_eq!(row["reason"], "target_unreachable", "{row:#}");
    }
    for target in Target::ALL {
        // Reading is no exception.
        let (code, _) = bed.rig.run(&["verify", "--target", target.name(), "--json"]).await;
        assert_eq!(code, 1, "{target}");
        assert_eq!(bed.journal(target), [], "{target}: not a request");
        assert_eq!(bed.counters(target).requests, 0, "{target}");
    }
    assert_eq!(bed.rig.count("select count(*) from sync.dead_letter").await, 0);
    let sent =
        "select count(*) from sync.record where remote_id is not null and entity_type <> 'race'";
    assert_eq!(bed.rig.count(sent).await, 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_for_another_name_gets_no_byte_and_shows_as_out_of_reach() {
    refused(Certificate::WrongName).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_gets_no_byte_and_shows_as_out_of_reach() {
    refused(Certificate::Expired).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_nobody_gets_no_byte_and_shows_as_out_of_reach() {
    refused(Certificate::SelfSigned).await;
}
