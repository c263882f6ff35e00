-- What RunSignup may see of each entity (contract, sections 4 and 7). A column that is not selected here cannot leave the EMS.
--
-- Of a person, and only within a registration: names, e-mail, phone, date of birth, gender and address, which a registration
-- there consists of. Nothing of identity documents, medical data or emergency contacts, nothing of teams and shirts.
--
-- A participant is shown once a race is chosen, and while not withdrawn: a withdrawn one is removed there if we imported it; one
-- who registered and paid there becomes a task for a person. A disqualified one has started and stays. So whatever takes a
-- registration back is a delete for the guard (G10), and there is no column `consents`.
--
-- Every projection has: id (the EMS id), modified_on (the greatest of all rows it reads), parents (the entities
-- that it names, as type:id), then the fields. Ids of parents are EMS ids: the worker puts the remote ones in.
-- An EMS with other tables replaces these views and keeps their columns.

create or replace view sync.runsignup_event_participant as
select ep.id, greatest(ep.modified_on, p.modified_on) as modified_on, array['race:' || ep.race_id] as parents,
       ep.race_id, ep.person_id, ep.number,
       p.first_name, p.last_name, p.email, p.phone, p.date_of_birth, p.gender,
       p.address_line, p.city, p.province, p.postal_code, p.country
from ems.event_participant ep
join ems.person p on p.id = ep.person_id
where ep.race_id is not null and ep.status <> 'WITHDRAWN';

-- A person exists there only within registrations: its record takes the id of the user from them, and its changes owe them.
create or replace view sync.runsignup_person as
select p.id, p.modified_on, '{}'::text[] as parents
from ems.person p;

create or replace view sync.runsignup_carriers as
select 'person' as entity_type, ep.person_id as entity_id, 'event_participant' as carrier_type, ep.id as carrier_id
from ems.event_participant ep;

-- A race there begins with at least one event, so an EMS event is shown once it has a race, or is known there: it came from there,
-- and its races follow. Its races are what a new one begins with; later they are pushed by themselves.
create or replace view sync.runsignup_event as
select e.id, greatest(e.modified_on, r.modified_on) as modified_on, '{}'::text[] as parents,
       e.name, e.timezone, e.status, e.address, e.city, e.province, e.postal_code, e.country, r.races
from ems.event e
cross join lateral (
    select max(race.modified_on) as modified_on,
           jsonb_agg(jsonb_build_object('name', race.name, 'start_time', coalesce(race.start_time, e.start_date_time))
                     order by race.id) as races
    from ems.race race
    where race.event_id = e.id
) r
where r.races is not null
   or exists (select from sync.runsignup_record known
              where known.entity_type = 'event' and known.entity_id = e.id and known.remote_id is not null);

create or replace view sync.runsignup_race as
select r.id, greatest(r.modified_on, e.modified_on) as modified_on, array['event:' || r.event_id] as parents,
       r.event_id, r.name, coalesce(r.start_time, e.start_date_time) as start_time, e.timezone
from ems.race r
join ems.event e on e.id = r.event_id;
