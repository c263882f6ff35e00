//! One record per entity (obligation 5), and success only when it is proven (obligation 2).

use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::remote::{Action, Look, Push, PushResult, RemoteIds};
use ems_sync_remotes::tagserver::{MissingRelation, Resource, data_access_failure};
use ems_sync_remotes::{Fault, Garbage, Operation, Rule};
use serde_json::{Value, json};

use super::bench::{Bench, answers, in_time, remote_id, word};

#[tokio::test]
async fn a_create_is_one_request_and_names_the_record_that_it_made() {
    let bench = Bench::new().await;
    let result = bench.one(bench.create(7, "Club")).await;
    let row = bench.sim.row(Resource::Organisation, "7").unwrap();
    let remote_hash = bench.wire(7, "Club").hash;
    let expected = PushResult::Held {
        remote_id: row.id.to_string(),
        remote_hash,
        written: true,
        carried: Vec::new(),
        left_to: None,
        held: None,
    };
    assert_eq!(result, expected);
    assert_eq!(bench.operations(), [Operation::Create], "no look-up before a first create");
    bench.assert_no_violation();
}

/// Every field of the contract's table goes and comes back; what the server says that it holds has the hash of what was
/// sent, however it writes instants (obligation 7).
#[tokio::test]
async fn all_eight_resources_come_back_with_the_hash_that_was_sent() {
    use EntityType as E;
    let bench = Bench::new().await;
    let projections: [(E, Value); 8] = [
        (E::Organisation, json!({"name": "Zoe\u{308} Club"})),
        (
            E::Person,
            json!({"first_name": " Ngũgĩ ", "last_name": "O'Brien", "date_of_birth": "1990-02-28",
                   "gender": "UNKNOWN"}),
        ),
        (
            E::Event,
            json!({"name": "Comrades", "start_date_time": "2026-11-29T06:30:00.5+02:00",
                   "end_date_time": null, "timezone": "Africa/Johannesburg", "organisation_id": 1}),
        ),
        (
            E::Race,
            json!({"name": "42.2 km", "start_time": "2026-11-29T05:00:00.123456Z",
                   "distance_meters": 42195, "status": "PLANNED", "event_id": 1}),
        ),
        (
            E::StartGroup,
            json!({"name": "A", "seq": 1, "start_time": "2026-11-29T05:00:00Z", "race_id": 1}),
        ),
        (
            E::EventParticipant,
            json!({"number": "00042", "status": "CONFIRMED", "event_id": 1, "person_id": 1}),
        ),
        (
            E::StartGroupParticipant,
            json!({"seq": 9, "start_group_id": 1, "event_participant_id": 1}),
        ),
        (
            E::Tag,
            json!({"number": "T0001", "barcode": "", "uuid": "6f1e2d3c-0000-4000-8000-000000000001",
                   "bib_number": "00042", "valid_from": "2026-11-01T00:00:00Z", "valid_to": null,
                   "person_id": 1}),
        ),
    ];
    let mut parents = RemoteIds::new();
    for round in ["create", "replace"] {
        for (entity_type, fields) in projections.clone() {
            let entity = EntityRef::new(entity_type, 1);
            let wire = bench.wire_of(entity, fields, &parents);
            let action = match parents.get(&entity) {
                None => Action::Create { wire: wire.clone(), look: Look::IfRefused },
                Some(id) => Action::Update { remote_id: id.clone(), wire: wire.clone() },
            };
            let push = Push {
                entity,
                action,
                besides: Look::IfRefused,
                former: None,
                by_itself: false,
                send_before: in_time(),
                expected: None,
            };
            let result = bench.one(push).await;
            let PushResult::Held { remote_id, remote_hash, .. } = result else {
                panic!("{round} {entity_type}: {result:?}")
            };
            assert_eq!(remote_hash, wire.hash, "{round} {entity_type}");
            parents.insert(entity, remote_id);
        }
    }
    let person = bench.sim.row(Resource::Person, "1").unwrap().body;
    assert_eq!(person["firstName"], "Ngũgĩ");
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_create_that_meets_its_own_record_adopts_it_and_brings_it_up_to_date() {
    let bench = Bench::new().await;
    let id = bench.plant(7, "Old");
    let result = bench.one(bench.create(7, "New")).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", id));
    assert_eq!(bench.name_of(7).as_deref(), Some("New"));
    assert_eq!(bench.operations(), [Operation::Create, Operation::Find, Operation::Replace]);
    assert_eq!(bench.sim.row_count(Resource::Organisation), 1);
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_refusal_for_a_constraint_without_a_record_of_ours_is_transient() {
    let bench = Bench::new().await;
    bench.sim.faults().push(Rule::new(data_access_failure()).operation(Operation::Create));
    assert_eq!(word(&bench.one(bench.create(7, "Club")).await), "transient");
    assert_eq!(bench.operations(), [Operation::Create, Operation::Find]);
}

/// The look-up says that nothing is there, though it is: the server's uniqueness has the last word.
#[tokio::test]
async fn a_look_up_that_lies_makes_no_second_record() {
    let bench = Bench::new().await;
    let id = bench.plant(7, "Club");
    bench
        .sim
        .faults()
        .push(Rule::new(Fault::garbage(Garbage::EmptyList)).operation(Operation::Find));
    let result = bench.one(bench.create_again(7, "Club", true)).await;
    assert_eq!((word(&result), remote_id(&result)), ("adopted", id));
    assert_eq!(bench.sim.row_count(Resource::Organisation), 1);
}

#[tokio::test]
async fn a_filter_that_the_server_ignores_is_never_absence() {
    let bench = Bench::new().await;
    let strangers = json!([{"id": 5, "externalId": "55", "name": "Other"},
                           {"id": 6, "externalId": null, "name": "Made by staff"}]);
    let ignored = Rule::new(answers(strangers.clone())).operation(Operation::Find).unlimited();
    let rule = bench.sim.faults().push(ignored);
    let result = bench.one(bench.create_again(7, "Club", true)).await;
    assert_eq!(word(&result), "our_fault");
    assert_eq!(bench.operations(), [Operation::Find], "nothing was created on that ground");
    bench.sim.faults().remove(rule);
    // Ours is among them: that one is taken, not the first.
    let id = bench.plant(7, "Club");
    let mut rows = strangers.as_array().unwrap().clone();
    rows.push(json!({"id": id, "externalId": "7", "name": "Club"}));
    bench.sim.faults().push(Rule::new(answers(json!(rows))).operation(Operation::Find));
    let result = bench.one(bench.create_again(7, "Club", true)).await;
    assert_eq!((word(&result), remote_id(&result)), ("adopted", id));
}

#[tokio::test]
async fn two_records_of_one_entity_are_not_adopted_by_chance() {
    let bench = Bench::new().await;
    let twice = json!([{"id": 5, "externalId": "7", "name": "A"},
                       {"id": 6, "externalId": "7", "name": "B"}]);
    bench.sim.faults().push(Rule::new(answers(twice)).operation(Operation::Find));
    assert_eq!(word(&bench.one(bench.create_again(7, "Club", true)).await), "our_fault");
    assert_eq!(bench.operations(), [Operation::Find]);
}

#[tokio::test]
async fn an_answer_that_names_another_record_is_a_stale_mapping_and_never_success() {
    let bench = Bench::new().await;
    let id = bench.plant(7, "Club");
    let answers_of = [
        json!({"id": id, "externalId": "8", "name": "New"}),
        json!({"id": id, "externalId": "not-ours", "name": "New"}),
    ];
    for answer in answers_of {
        bench.sim.faults().push(Rule::new(answers(answer.clone())).writes());
        assert_eq!(word(&bench.one(bench.create(7, "New")).await), "stale_mapping", "{answer}");
        bench.sim.faults().push(Rule::new(answers(answer.clone())).writes());
        assert_eq!(word(&bench.one(bench.update(7, id, "New")).await), "stale_mapping", "{answer}");
    }
    // The right key under another id than the one that was written to.
    let other = json!({"id": id + 1, "externalId": "7", "name": "New"});
    bench.sim.faults().push(Rule::new(answers(other)).writes());
    assert_eq!(word(&bench.one(bench.update(7, id, "New")).await), "stale_mapping");
}

#[tokio::test]
async fn a_success_that_does_not_name_the_record_may_have_been_applied() {
    let bench = Bench::new().await;
    for answer in [
        json!({}),
        json!([]),
        json!(null),
        json!({"id": 7}),
        json!({"externalId": "7", "name": "Club"}),
        json!({"id": "7", "externalId": "7", "name": "Club"}),
        json!({"id": null, "externalId": "7", "name": "Club"}),
        json!({"id": 7, "externalId": 7, "name": "Club"}),
        json!({"id": 7, "externalId": "7", "name": ["Club"]}),
    ] {
        bench.sim.faults().push(Rule::new(answers(answer.clone())).writes());
        assert_eq!(word(&bench.one(bench.create(7, "Club")).await), "ambiguous", "{answer}");
    }
}

#[tokio::test]
async fn a_relation_that_the_server_does_not_have_is_a_missing_parent() {
    for how in [MissingRelation::BadRequest, MissingRelation::ServerError] {
        let bench = Bench::new().await;
        bench.sim.configure(|settings| settings.missing_relation = how);
        let entity = |id| EntityRef::new(EntityType::Tag, id);
        let parents = RemoteIds::from([(EntityRef::new(EntityType::Person, 1), "17".to_owned())]);
        let push = |id| {
            let fields = json!({"number": "T1", "person_id": 1});
            let wire = bench.wire_of(entity(id), fields, &parents);
            let action = Action::Create { wire, look: Look::IfRefused };
            Push {
                entity: entity(id),
                action,
                besides: Look::IfRefused,
                former: None,
                by_itself: false,
                send_before: in_time(),
                expected: None,
            }
        };
        assert_eq!(word(&bench.one(push(1)).await), "missing_parent", "{how:?}");
        for (_, result) in bench.many(vec![push(1), push(2)]).await {
            assert_eq!(word(&result), "missing_parent", "{how:?}, in bulk");
        }
    }
}
