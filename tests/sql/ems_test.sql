-- test: applying the schema again changes nothing
\i :root/sql/ems/00_schema.sql
\i :root/sql/ems/02_person.sql
\i :root/sql/ems/90_modified_on.sql
select test.equal(count(*)::text, '11') from pg_tables where schemaname = 'ems';
select test.equal(count(*)::text, '11') from pg_trigger where tgname = 'set_modified_on' and tgenabled = 'A';
select test.equal(count(*)::text, '5') from ems.person;

-- test: every table and modified_on has a comment, every foreign key and modified_on an index
select test.equal(string_agg(relname, ','), null) from pg_class
 where relnamespace = 'ems'::regnamespace and relkind = 'r' and obj_description(oid, 'pg_class') is null;
select test.equal(string_agg(c.conname, ','), null) from pg_constraint c
 where c.connamespace = 'ems'::regnamespace and c.contype = 'f'
   and (c.confdeltype <> 'c' or not exists (select from pg_index i where i.indrelid = c.conrelid and i.indkey[0] = c.conkey[1]));
select test.equal(string_agg(a.attrelid::regclass::text, ','), null) from pg_attribute a
  join pg_class c on c.oid = a.attrelid and c.relkind = 'r' and c.relnamespace = 'ems'::regnamespace
 where a.attname = 'modified_on'
   and not exists (select from pg_index i where i.indrelid = a.attrelid and i.indkey[0] = a.attnum);

-- test: modified_on is set on insert, whatever the statement says
insert into ems.organisation (id, name, modified_on) values (9, 'x', '1999-01-01');
select test.equal((modified_on > now() - interval '1 minute')::text, 'true') from ems.organisation where id = 9;

-- test: modified_on moves with a change, by less than the clock can resolve if need be
select modified_on as before from ems.person where id = 1 \gset
update ems.person set city = 'x' where id = 1;
update ems.person set city = 'y' where id = 1;
select test.equal((modified_on > :'before')::text, 'true') from ems.person where id = 1;

-- test: modified_on stays when nothing else changes, explicitly set or not
select modified_on as before from ems.person where id = 1 \gset
update ems.person set city = city, modified_on = now() + interval '1 day' where id = 1;
update ems.person set first_name = first_name;
select test.equal(modified_on::text, :'before'::timestamptz::text) from ems.person where id = 1;

-- test: modified_on ignores an explicit value when something changes
update ems.person set city = 'x', modified_on = '1999-01-01' where id = 1;
select test.equal((modified_on between now() - interval '1 minute' and now() + interval '1 minute')::text, 'true')
  from ems.person where id = 1;

-- test: modified_on never goes backwards
alter table ems.person disable trigger set_modified_on;
update ems.person set modified_on = '2100-01-01' where id = 1;
alter table ems.person enable always trigger set_modified_on;
update ems.person set city = 'x' where id = 1;
select test.equal((modified_on = timestamptz '2100-01-01' + interval '1 microsecond')::text, 'true') from ems.person where id = 1;

-- test: modified_on is kept under the replica role
-- needs: superuser
set session_replication_role = replica;
select modified_on as before from ems.person where id = 1 \gset
update ems.person set city = 'x' where id = 1;
select test.equal((modified_on > :'before')::text, 'true') from ems.person where id = 1;

-- test: a change from null and to null, and one that only differs in case, count
select modified_on as t0 from ems.person where id = 1 \gset
update ems.person set city = 'x' where id = 1;
select modified_on as t1 from ems.person where id = 1 \gset
update ems.person set city = 'X' where id = 1;
select modified_on as t2 from ems.person where id = 1 \gset
update ems.person set city = null where id = 1;
select test.equal((:'t0'::timestamptz < :'t1' and :'t1'::timestamptz < :'t2' and :'t2' < modified_on)::text, 'true')
  from ems.person where id = 1;

-- test: constraints of the schema hold
select test.fails($$insert into ems.event_participant (event_id, person_id) values (1, 1)$$, '23505');
select test.fails($$insert into ems.tag (person_id, number) values (2, 'T1')$$, '23505');
select test.fails($$insert into ems.contact_preference (person_id, channel, opted_in) values (1, 'FAX', true)$$, '23514');
select test.fails($$insert into ems.contact_preference (person_id, channel, opted_in) values (1, 'SMS', true)$$, '23505');
select test.fails($$insert into ems.list_membership (person_id, list_code, status) values (1, 'news', 'PENDING')$$, '23505');
select test.fails($$insert into ems.conversation (source, external_id) values ('chatwoot', '1')$$, '23505');
select test.fails($$insert into ems.start_group_participant (start_group_id, event_participant_id) values (1, 1)$$, '23505');
select test.fails($$update ems.race set status = 'DONE'$$, '23514');
select test.fails($$update ems.person set gender = 'male'$$, '23514');
select test.fails($$update ems.event set status = null$$, '23502');
select test.fails($$insert into ems.race (event_id, name, distance_meters) values (99, 'x', 1)$$, '23503');
