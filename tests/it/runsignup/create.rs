//! One registration per participant (contract, sections 7a and 9): search, adopt, else add one row, and read it back.

use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::remote::PushResult;
use ems_sync_remotes::runsignup::{Resource, UnrestrictedAdd};
use ems_sync_remotes::{Operation, Rule};
use serde_json::json;

use super::bench::{
    Bench, OTHER, QUESTION, RACE, TEN, answers, failure, nobody, participant, remote_hash,
    remote_id, row_error, word,
};

#[tokio::test]
async fn an_add_is_searched_for_first_and_read_back_and_brings_the_persons_id() {
    let bench = Bench::warm().await;
    let before = bench.requests();
    let result = bench.one(bench.create(5, TEN)).await;
    let (registration, user) = bench.registration(remote_id(&result));
    let person = EntityRef::new(EntityType::Person, 1005);
    let expected = PushResult::Held {
        remote_id: registration.id.to_string(),
        remote_hash: bench.wire(5, TEN, json!({})).hash,
        written: true,
        carried: vec![(person, user.id.to_string())],
        left_to: None,
    };
    assert_eq!(result, expected);
    assert_eq!(
        bench.operations_since(before),
        [Operation::Find, Operation::Create, Operation::Read]
    );
    assert!(registration.imported);
    assert_eq!((registration.event_id, registration.bib_num), (TEN, Some(5)));
    assert_eq!(registration.responses[&QUESTION], "5", "the race has a question for our id");
    assert_eq!(user.address.street.as_deref(), Some("1 Main St & Co"), "percent-encoded");
    assert_eq!(user.phone.as_deref(), Some("856-850-1510"));
    assert_eq!(user.email.as_deref(), Some("zoe5@ems.example"));
    bench.assert_no_violation();
}

#[tokio::test]
async fn whoever_registered_there_is_adopted_by_names_and_day_of_birth() {
    let bench = Bench::warm().await;
    let there = bench.paid(5, OTHER, json!({}));
    let written = bench.writes();
    let result = bench.one(bench.create(5, OTHER)).await;
    assert_eq!((word(&result), remote_id(&result)), ("adopted", there));
    assert_eq!(bench.writes(), written, "it holds what is wanted, and the race has no question");
    // Where there is a question, it gets our id.
    let there = bench.paid(6, TEN, json!({"last_name": " RUNNER 6 "}));
    let result = bench.one(bench.create(6, TEN)).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", there));
    assert_eq!(bench.registration(there).0.responses[&QUESTION], "6");
    assert_eq!(bench.standing().len(), 2);
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_namesake_of_another_age_or_with_another_id_is_somebody_else() {
    let bench = Bench::warm().await;
    bench.paid(5, TEN, json!({"dob": "1990-01-01"}));
    bench.paid(5, TEN, json!({"first_name": "Zoëlle"}));
    let other = bench.paid(5, TEN, json!({"dob": "1990-01-02"}));
    let row = json!({"id": other, "responses": {QUESTION.to_string(): "99"}});
    bench.sim.plant(Resource::Registration, row).unwrap();
    assert_eq!(word(&bench.one(bench.create(5, TEN)).await), "held");
    assert_eq!(bench.standing().len(), 4);
    bench.assert_no_violation();
}

#[tokio::test]
async fn several_that_may_be_it_are_a_persons_to_decide() {
    let bench = Bench::warm().await;
    bench.paid(5, OTHER, json!({}));
    bench.paid(5, OTHER, json!({}));
    let written = bench.writes();
    let failed = failure(bench.one(bench.create(5, OTHER)).await);
    assert_eq!(failed.class.name(), "rejected");
    assert!(failed.text.contains("remove all but one"), "{}", failed.text);
    assert_eq!(bench.writes(), written);
    bench.assert_no_violation();
}

/// Contract, section 9: never by e-mail alone; without a day of birth, names alone are not enough either.
#[tokio::test]
async fn without_a_day_of_birth_the_same_email_must_tell_too() {
    let bench = Bench::warm().await;
    let there = bench.paid(5, OTHER, json!({"dob": null}));
    let unborn = json!({"date_of_birth": null});
    let result = bench.one(bench.create_of(5, OTHER, unborn)).await;
    assert_eq!((word(&result), remote_id(&result)), ("adopted", there));
    bench.paid(6, OTHER, json!({"dob": null}));
    let stranger = json!({"date_of_birth": null, "email": "another@ems.example"});
    let failed = failure(bench.one(bench.create_of(6, OTHER, stranger)).await);
    assert_eq!(failed.class.name(), "rejected");
    assert!(failed.text.contains("date of birth") && !failed.text.contains("Runner"));
    bench.assert_no_violation();
}

/// Contract, section 7a (4): the search shows nothing, though it is there.
#[tokio::test]
async fn an_existing_registration_is_adopted_after_it_was_looked_at() {
    let bench = Bench::warm().await;
    let there = bench.paid(5, OTHER, json!({"phone": null}));
    bench.sim.faults().push(Rule::new(nobody(OTHER)).operation(Operation::Find));
    let result = bench.one(bench.create(5, OTHER)).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", there));
    assert_eq!(bench.registration(there).1.phone.as_deref(), Some("856-850-1510"));
    // The id that it names is another person's: that is nobody to adopt.
    let stranger = bench.paid(77, OTHER, json!({}));
    let lies = answers(json!({"error": {"error_code": 11}, "error_details": [
        {"error_code": 517, "detailed_desc": stranger.to_string()}]}));
    bench.sim.faults().push(Rule::new(lies).operation(Operation::Create));
    let failed = failure(bench.one(bench.create(6, OTHER)).await);
    assert_eq!(failed.class.name(), "transient", "a later sweep tries again");
    assert!(failed.text.contains("twice in the EMS"), "{}", failed.text);
    bench.assert_no_violation();
}

#[tokio::test]
async fn two_entities_of_one_name_and_day_do_not_share_a_registration() {
    for event in [TEN, OTHER] {
        let bench = Bench::warm().await;
        bench.sim.configure(|settings| settings.unrestricted_add = UnrestrictedAdd::Duplicates);
        let twin = json!({"last_name": "Runner 5", "email": "zoe5@ems.example"});
        let results =
            bench.many(vec![bench.create(5, event), bench.create_of(6, event, twin)]).await;
        let mut words: Vec<_> = results.values().map(word).collect();
        words.sort_unstable();
        assert_eq!(words, ["held", "transient"], "{event}");
        assert_eq!(bench.standing().len(), 1);
        bench.assert_no_violation();
    }
}

#[tokio::test]
async fn an_email_of_an_account_that_is_not_registered_is_a_persons_to_see() {
    let bench = Bench::warm().await;
    bench.sim.faults().push(Rule::new(row_error(122)).operation(Operation::Create));
    let before = bench.requests();
    let failed = failure(bench.one(bench.create(5, OTHER)).await);
    assert_eq!(failed.class.name(), "rejected");
    assert!(failed.text.contains("122") && !failed.text.contains("Zoë"), "{}", failed.text);
    assert_eq!(
        bench.operations_since(before),
        [Operation::Find, Operation::Create, Operation::Find],
        "it is looked for by its address, too"
    );
    bench.assert_no_violation();
}

#[tokio::test]
async fn an_event_that_no_race_has_is_a_missing_parent() {
    let bench = Bench::new().await;
    let failed = failure(bench.one(bench.create(5, 999)).await);
    assert_eq!(failed.class.name(), "missing_parent");
    // It is there a moment later, in a race that was read before.
    let event = json!({"id": 999, "race_id": RACE, "race_event_days_id": 12, "name": "Late"});
    bench.sim.plant(Resource::Event, event).unwrap();
    let later = bench.fresh();
    assert_eq!(word(&later.one(later.create(5, 999)).await), "held");
    bench.assert_no_violation();
}

/// Contract, section 4a: only the most current events are listed.
#[tokio::test]
async fn an_event_of_an_earlier_year_is_found_in_its_race() {
    let bench = Bench::new().await;
    let event = json!({"id": 31, "race_id": RACE, "race_event_days_id": 3, "name": "Then",
                       "start_time": "2019-06-01T09:00:00"});
    bench.sim.plant(Resource::Event, event).unwrap();
    assert_eq!(word(&bench.one(bench.create(5, 31)).await), "held");
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_new_registration_that_lists_hide_is_held_and_not_added_again() {
    let bench = Bench::warm().await;
    bench.sim.configure(|settings| settings.add_lag_seconds = 3600);
    let result = bench.one(bench.create(5, OTHER)).await;
    assert_eq!(word(&result), "held");
    assert_eq!(remote_hash(&result), bench.wire(5, OTHER, json!({})).hash);
    let id = remote_id(&result);
    let renamed = json!({"last_name": "Renamed"});
    let result = bench.one(bench.update(5, id, OTHER, renamed.clone())).await;
    assert_eq!(word(&result), "transient", "its absence proves nothing yet");
    assert_eq!(word(&bench.one(super::bench::delete(5, id)).await), "transient");
    bench.sim.configure(|settings| settings.add_lag_seconds = 0);
    assert_eq!(word(&bench.one(bench.update(5, id, OTHER, renamed)).await), "held");
    assert_eq!(bench.standing().len(), 1);
    assert_eq!(participant(5).id, 5);
    bench.assert_no_violation();
}
