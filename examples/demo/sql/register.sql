-- Runners enter: person, registration, place in a start group, tag, and mailing lists. One statement, whatever their
-- number. Returns how many rows TagServer gets; memberships are none of its business.
with given as (
    select *
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::text[], $7::text[], $8::text[], $9::text[],
                $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::uuid[]) with ordinality
         as g (first_name, last_name, email, phone, born, gender, language, city, medical,
               race, team, shirt, bib, start_group, tag, tag_uuid, n)
), person as (
    insert into ems.person (first_name, last_name, email, phone, date_of_birth, gender, language, city, country,
                            medical_conditions)
    select first_name, last_name, email, phone, date '1946-01-01' + born, gender, language, city, 'ZA', medical
    from given order by n
    returning id
), runner as (
    -- Ids are given out in the order of entry.
    select g.*, p.id as person_id, r.id as race_id, r.event_id
    from given g
    join (select id, row_number() over (order by id) as n from person) p using (n)
    join ems.race r on r.name = g.race
), registration as (
    insert into ems.event_participant (event_id, person_id, race_id, number, registered_on, team, shirt_size, paid)
    select event_id, person_id, race_id, bib, now(), team, shirt, n % 6 > 0
    from runner order by n
    returning id, person_id
), placed as (
    insert into ems.start_group_participant (start_group_id, event_participant_id, seq)
    select s.id, e.id, row_number() over (partition by s.id order by n)
    from runner r
    join registration e using (person_id)
    join ems.start_group s on s.race_id = r.race_id and s.name = r.start_group
    returning id
), reader as (
    -- Who gives an address gets the news, and in one case of three the club's letter.
    insert into ems.list_membership (person_id, list_code, status)
    select person_id, list_code, 'SUBSCRIBED'
    from runner, unnest(case when n % 3 = 0 then array['news', 'club'] else array['news'] end) list_code
    where email is not null
), tagged as (
    insert into ems.tag (person_id, number, barcode, uuid, bib_number, valid_from)
    select person_id, tag, 'UMK' || bib, tag_uuid, bib, now()
    from runner where tag is not null order by n
    returning id
)
select (select count(*) from person) + (select count(*) from registration)
     + (select count(*) from placed) + (select count(*) from tagged)
