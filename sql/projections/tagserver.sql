-- What TagServer may see of each entity (contract, "Resources"). A column that is not selected here
-- cannot leave the EMS. Of a person: name, date of birth and gender, nothing else; of an organisation its name.
--
-- Every projection has: id (the EMS id), modified_on (the greatest of all rows it reads), parents (the entities
-- that it names, as type:id), then the fields. Ids of parents are EMS ids: the worker puts the remote ones in.
-- An EMS with other tables replaces these views and keeps their columns.

create or replace view sync.tagserver_organisation as
select o.id, o.modified_on, '{}'::text[] as parents, o.name
from ems.organisation o;

create or replace view sync.tagserver_person as
select p.id, p.modified_on, '{}'::text[] as parents, p.first_name, p.last_name, p.date_of_birth, p.gender
from ems.person p;

create or replace view sync.tagserver_event as
select e.id, e.modified_on, array['organisation:' || e.organisation_id] as parents, e.organisation_id,
       e.name, e.start_date_time, e.end_date_time, e.timezone
from ems.event e;

create or replace view sync.tagserver_race as
select r.id, r.modified_on, array['event:' || r.event_id] as parents, r.event_id,
       r.name, r.start_time, r.distance_meters, r.status
from ems.race r;

create or replace view sync.tagserver_start_group as
select g.id, g.modified_on, array['race:' || g.race_id] as parents, g.race_id, g.name, g.seq, g.start_time
from ems.start_group g;

create or replace view sync.tagserver_event_participant as
select p.id, p.modified_on, array['event:' || p.event_id, 'person:' || p.person_id] as parents, p.event_id, p.person_id,
       p.number, p.status
from ems.event_participant p;

create or replace view sync.tagserver_start_group_participant as
select s.id, s.modified_on,
       array['start_group:' || s.start_group_id, 'event_participant:' || s.event_participant_id] as parents,
       s.start_group_id, s.event_participant_id, s.seq
from ems.start_group_participant s;

create or replace view sync.tagserver_tag as
select t.id, t.modified_on, array['person:' || t.person_id] as parents, t.person_id,
       t.number, t.barcode, t.uuid, t.bib_number, t.valid_from, t.valid_to
from ems.tag t;
