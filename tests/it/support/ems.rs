//! An EMS at work: a seeded population over all eight types, and seeded changes to it. In set-based SQL, so that
//! thousands of rows take a moment.

use tokio_postgres::Client;

/// Makes `people` persons with registrations, start groups and tags, in one organisation with three races.
pub(crate) async fn populate(ems: &Client, people: i64) {
    ems.batch_execute(&format!(
        "
        begin;
        insert into ems.organisation (name) values ('Comrades Club'), ('Ukuthula Trail');
        insert into ems.event (organisation_id, name, start_date_time, timezone)
            select id, name || ' 2056', '2056-11-26T04:30:00.5Z', 'Africa/Johannesburg' from ems.organisation;
        insert into ems.race (event_id, name, distance_meters, start_time)
            select e.id, d.name, d.meters, '2056-11-26T05:00:00Z'::timestamptz + d.meters * interval '1 ms'
            from ems.event e, (values ('5 km', 5000), ('21.1 km', 21097), ('42.2 km', 42195)) d (name, meters);
        insert into ems.start_group (race_id, name, seq, start_time)
            select r.id, 'Group ' || s, s, r.start_time + s * interval '5 minutes' from ems.race r, generate_series(1, 2) s;
        insert into ems.person (first_name, last_name, email, date_of_birth, gender, medical_conditions)
            select (array['Thandi', 'Ngũgĩ', 'Zoë', 'Søren', '美咲', 'Олена', 'محمد'])[1 + n % 7], 'Runner ' || n,
                   case when n % 5 > 0 then 'family' || n / 4 || '@ems.example' end,
                   date '1950-01-01' + n::int, (array['FEMALE', 'MALE', 'UNKNOWN'])[1 + n % 3], 'canary-medical-' || n
            from generate_series(1, {people}) n;
        insert into ems.event_participant (event_id, person_id, race_id, number, status, registered_on)
            select e.id, p.id, (select min(r.id) + p.id % 3 from ems.race r where r.event_id = e.id),
                   lpad(p.id::text, 5, '0'), 'REGISTERED', now()
            from ems.person p, (select min(id) as id from ems.event) e;
        insert into ems.start_group_participant (start_group_id, event_participant_id, seq)
            select (select min(g.id) from ems.start_group g where g.race_id = ep.race_id), ep.id, ep.id
            from ems.event_participant ep where ep.id % 2 = 0;
        insert into ems.tag (person_id, number, barcode, bib_number, uuid, valid_from)
            select p.id, 'T' || lpad(p.id::text, 6, '0'), null, lpad(p.id::text, 5, '0'), gen_random_uuid(), now()
            from ems.person p where p.id % 2 = 1;
        commit;
        "
    ))
    .await
    .unwrap();
}

/// Changes a part of everything: inserts, updates, no-op touches, deletes with their cascades, moves.
pub(crate) async fn change(ems: &Client, round: i64) {
    ems.batch_execute(&format!(
        "
        update ems.person set last_name = last_name || '-{round}' where id % 7 = {round} % 7;
        update ems.person set first_name = first_name;
        update ems.event_participant set status = 'CONFIRMED', number = number || '{round}' where id % 5 = {round} % 5;
        update ems.tag set valid_to = now() where id % 9 = {round} % 9;
        update ems.tag set person_id = (select max(id) from ems.person) where id % 31 = {round} % 31;
        update ems.race set name = name || ' r{round}' where id % 2 = {round} % 2;
        delete from ems.person where id % 41 = {round} % 41;
        delete from ems.start_group_participant where id % 13 = {round} % 13;
        insert into ems.person (first_name, last_name) select 'Late', 'Entry {round}-' || n from generate_series(1, 20) n;
        insert into ems.tag (person_id, number) select max(id), 'LATE-{round}' from ems.person;
        "
    ))
    .await
    .unwrap();
    // By itself: in one message with the statements above, the rollback would take them back too.
    ems.batch_execute("begin; update ems.person set last_name = 'never-committed'; rollback")
        .await
        .unwrap();
}
