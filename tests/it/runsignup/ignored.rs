//! What RunSignup ignores or can't hold: no error and no loop, but the remote hash tells (contract, sections 5 and 7a).

use serde_json::json;

use super::bench::{Bench, OTHER, TEN, remote_hash, remote_id, word};

/// RunSignup is in charge of the e-mail: it goes with an add, and is never sent again.
#[tokio::test]
async fn another_email_is_never_sent_and_shows_in_the_hash() {
    let bench = Bench::warm().await;
    let id = bench.registered(5, TEN).await;
    let written = bench.writes();
    for _ in 0..2 {
        let moved = json!({"email": "new@ems.example"});
        let result = bench.one(bench.update(5, id, TEN, moved.clone())).await;
        assert_eq!(word(&result), "adopted", "there is nothing to write");
        assert_eq!(remote_hash(&result), bench.wire(5, TEN, json!({})).hash);
        assert_ne!(remote_hash(&result), bench.wire(5, TEN, moved).hash);
    }
    assert_eq!(bench.writes(), written);
    let both = json!({"email": "new@ems.example", "last_name": "Renamed"});
    assert_eq!(word(&bench.one(bench.update(5, id, TEN, both)).await), "held");
    let (_, user) = bench.registration(id);
    assert_eq!(user.email.as_deref(), Some("zoe5@ems.example"));
    assert_eq!(user.last_name, "Renamed");
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_lettered_bib_is_not_sent_and_leaves_no_other_in_its_place() {
    let bench = Bench::warm().await;
    let lettered = json!({"number": "A12"});
    let result = bench.one(bench.create_of(5, OTHER, lettered.clone())).await;
    assert_eq!(word(&result), "held");
    assert_ne!(remote_hash(&result), bench.wire(5, OTHER, lettered.clone()).hash);
    let id = remote_id(&result);
    assert_eq!(bench.registration(id).0.bib_num, None);
    assert_eq!(word(&bench.one(bench.update(5, id, OTHER, json!({"number": "17"}))).await), "held");
    assert_eq!(word(&bench.one(bench.update(5, id, OTHER, lettered.clone())).await), "held");
    assert_eq!(bench.registration(id).0.bib_num, None, "17 is somebody else's by now");
    assert_eq!(word(&bench.one(bench.update(5, id, OTHER, lettered)).await), "adopted");
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_foreign_phone_or_state_is_left_empty_where_it_is_refused() {
    let african = json!({"phone": "+27821234567", "province": "Gauteng", "country": "ZA"});
    let bench = Bench::warm().await;
    let result = bench.one(bench.create_of(5, OTHER, african.clone())).await;
    assert_eq!(word(&result), "held");
    assert_ne!(remote_hash(&result), bench.wire(5, OTHER, african.clone()).hash);
    let id = remote_id(&result);
    let (_, user) = bench.registration(id);
    assert_eq!((user.phone, user.address.state), (None, None));
    assert_eq!(user.address.country_code.as_deref(), Some("ZA"));
    // An American one was there: it does not stay.
    let american = bench.registered(6, OTHER).await;
    assert_eq!(word(&bench.one(bench.update(6, american, OTHER, african.clone())).await), "held");
    assert_eq!(bench.registration(american).1.phone, None);
    // Where it is taken, it is there.
    bench.sim.configure(|settings| settings.american_addresses = false);
    assert_eq!(word(&bench.one(bench.update(5, id, OTHER, african)).await), "held");
    assert_eq!(bench.registration(id).1.phone.as_deref(), Some("+27821234567"));
    bench.assert_no_violation();
}

#[tokio::test]
async fn gender_x_is_read_as_unknown_and_stays() {
    let bench = Bench::warm().await;
    let id = bench.paid(5, OTHER, json!({"gender": "X"}));
    let unknown = json!({"gender": "UNKNOWN"});
    let result = bench.one(bench.update(5, id, OTHER, unknown)).await;
    assert_eq!(word(&result), "adopted");
    assert_eq!(bench.registration(id).1.gender.as_deref(), Some("X"));
    bench.assert_no_violation();
}
