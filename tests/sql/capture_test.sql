-- test: insert, update and delete of an entity
insert into ems.person (id, first_name, last_name) values (10, 'a', 'b'), (11, 'c', 'd');
select test.captures('person 10 insert, person 11 insert');
update ems.person set city = 'x' where id in (10, 11);
select test.captures('person 10 update, person 11 update');
delete from ems.person where id in (10, 11);
select test.captures('person 10 delete, person 11 delete');

-- test: the outbox row says where and when
update ems.race set name = '21 km' where id = 1;
select test.equal(concat_ws(' ', entity_type, entity_id, source_table, op, traceparent), 'race 1 ems.race update')
  from sync.outbox where changed_on between now() - interval '1 minute' and clock_timestamp();
select test.captures('race 1 update');

-- test: rows whose content did not change are left out
update ems.person set city = city;
update ems.person set first_name = 'First1' where id = 1;
select test.captures('nothing');
update ems.person set city = case when id = 3 then 'x' end;
select test.captures('person 3 update');

-- test: statements that touch no row capture nothing and take no lock
begin;
update ems.person set city = 'x' where id = 99;
delete from ems.person where id = 99;
insert into ems.person select * from ems.person where id = 99;
select test.equal(count(*)::text, '0') from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database());
commit;
select test.captures('nothing');

-- test: a child's insert, update and delete are an update of its person, once per statement
insert into ems.contact_preference (person_id, channel, opted_in) values (2, 'EMAIL', true), (2, 'SMS', true), (3, 'SMS', true);
select test.captures('person 2 update, person 3 update');
update ems.contact_preference set opted_in = false where person_id = 2;
select test.captures('person 2 update');
delete from ems.list_membership;
select test.captures('person 1 update');
update ems.contact_preference set opted_in = opted_in;
select test.captures('nothing');

-- test: a child that is moved is an update of both persons
update ems.contact_preference set person_id = 3 where id = 1;
select test.captures('person 1 update, person 3 update');
update ems.contact_preference set person_id = case id when 1 then 4 else 5 end;
select test.captures('person 1 update, person 3 update, person 4 update, person 5 update');

-- test: a child whose own primary key changes is an update of its person
update ems.contact_preference set id = id + 100;
select test.captures('person 1 update');

-- test: a changed primary key is a delete and an insert
update ems.person set id = 50 where id = 5;
select test.captures('person 5 delete, person 50 insert');
update ems.person set id = id + 100 where id in (3, 4);
select test.captures('person 3 delete, person 4 delete, person 103 insert, person 104 insert');

-- test: primary keys that are swapped are updates of both
create table public.swapped (id bigint primary key deferrable, name text);
insert into public.swapped values (1, 'a'), (2, 'b'), (3, 'same'), (4, 'same');
select sync.watch('public.swapped', 'event');
update public.swapped set id = case id when 1 then 2 else 1 end where id in (1, 2);
select test.captures('event 1 update, event 2 update');

-- test: null keys are skipped, and a table can be watched for two entities
select sync.watch('ems.conversation', 'person', 'person_id');
update ems.conversation set status = 'open';
select test.captures('conversation 1 update, conversation 2 update, person 1 update');
update ems.conversation set person_id = 2 where id = 2;
select test.captures('conversation 2 update, person 2 update');
update ems.conversation set person_id = null;
select test.captures('conversation 1 update, conversation 2 update, person 1 update, person 2 update');
delete from ems.conversation;
select test.captures('conversation 1 delete, conversation 2 delete');

-- test: one entity type by two keys of a table
create table public.friends (id serial primary key, one bigint, other bigint);
select sync.watch('public.friends', 'person', 'one'), sync.watch('public.friends', 'person', 'other');
insert into public.friends (one, other) values (1, 2);
select test.captures('person 1 update, person 2 update');

-- test: bulk update of 100,000 rows
insert into ems.person (first_name, last_name) select 'a', 'b' from generate_series(1, 99995);
select test.equal(count(*)::text, '99995') from sync.outbox;
delete from sync.outbox;
update ems.person set city = 'x';
select test.equal(count(*)::text || ' ' || count(distinct entity_id), '100000 100000') from sync.outbox where op = 'update';
delete from sync.outbox;
update ems.person set city = 'x';
select test.captures('nothing');

-- test: bulk update of 100,000 children is coalesced
insert into ems.list_membership (person_id, list_code, status) select 1 + i % 5, 'l' || i, 'PENDING' from generate_series(1, 100000) i;
select test.captures('person 1 update, person 2 update, person 3 update, person 4 update, person 5 update');
update ems.list_membership set status = 'SUBSCRIBED' where list_code <> 'news';
select test.captures('person 1 update, person 2 update, person 3 update, person 4 update, person 5 update');

-- test: a plan cached for a bulk statement does not slow single rows down
insert into ems.person (first_name, last_name) select 'a', 'b' from generate_series(1, 50000);
do $$ begin for i in 1..7 loop update ems.person set city = i::text; commit; end loop; end $$;
create table test.started as select clock_timestamp() as at;
do $$ begin for i in 1..500 loop update ems.person set province = i::text where id = 1; commit; end loop; end $$;
select test.equal((clock_timestamp() - at < interval '4 seconds')::text, 'true') from test.started;

-- test: a plan cached for a single row is not quadratic for a bulk statement
insert into ems.person (first_name, last_name) select 'a', 'b' from generate_series(1, 50000);
do $$ begin for i in 1..10 loop update ems.person set city = i::text where id = 1; commit; end loop; end $$;
set statement_timeout = '15s';
delete from sync.outbox;
update ems.person set city = 'x';
select test.equal(count(*)::text, '50005') from sync.outbox;

-- test: nothing leaves a rolled back transaction or savepoint
begin;
update ems.person set city = 'x' where id = 1;
rollback;
begin;
savepoint a;
update ems.person set city = 'x' where id = 2;
rollback to a;
update ems.person set city = 'x' where id = 3;
savepoint b;
update ems.person set city = 'x' where id = 4;
release b;
commit;
select test.captures('person 3 update, person 4 update');

-- test: a transaction of a thousand statements uses one subtransaction per trigger
begin;
do $$ begin for i in 1..500 loop
    update ems.person set city = i::text where id = 1;
    insert into ems.organisation (name) values ('x');
end loop; end $$;
commit;
select test.equal(count(distinct xmin::text)::text || ' ' || count(*), '3 1000') from sync.outbox;

-- test: a rolled back savepoint takes the proof with it
begin;
savepoint a;
update ems.person set city = 'x' where id = 1;
rollback to a;
select test.equal(coalesce(current_setting('ems_sync.proven', true), ''), '');
update ems.person set city = 'y' where id = 1;
select test.equal((current_setting('ems_sync.proven') <> '')::text, 'true');
commit;
select test.equal(coalesce(current_setting('ems_sync.proven', true), ''), '');
select test.captures('person 1 update');

-- test: lock_timeout of the EMS is its own after a capture
set lock_timeout = '7s';
begin;
update ems.person set city = 'y' where id = 1;
select test.equal(current_setting('lock_timeout'), '7s');
set local lock_timeout = '9s';
update ems.tag set barcode = 'y';
select test.equal(current_setting('lock_timeout'), '9s');
commit;
select test.equal(current_setting('lock_timeout'), '7s');

-- test: captured under the replica role
-- needs: superuser
set session_replication_role = replica;
update ems.person set city = 'x' where id = 1;
select test.captures('person 1 update');

-- test: disabled triggers capture nothing, and sync.watched says so
alter table ems.person disable trigger sync_person_by_id_update;
update ems.person set city = 'x' where id = 1;
select test.captures('nothing');
select test.equal(on_update || ': ' || problem, 'disabled: a trigger is disabled') from sync.watched where table_name = 'ems.person';
alter table ems.person enable trigger sync_person_by_id_update;
select test.equal(on_update || ': ' || problem, 'origin: a trigger is not ENABLE ALWAYS') from sync.watched where table_name = 'ems.person';
drop trigger sync_person_by_id_update on ems.person;
select test.equal(on_update || ': ' || problem, 'missing: a trigger is missing') from sync.watched where table_name = 'ems.person';
select sync.watch('ems.person', 'person');
select test.equal(problem, null) from sync.watched where table_name = 'ems.person';
update ems.person set city = 'y' where id = 1;
select test.captures('person 1 update');

-- test: deleting an organisation deletes everything below it
delete from ems.organisation where id = 1;
select test.captures('event 1 delete, event_participant 1 delete, event_participant 2 delete, organisation 1 delete, '
                     'race 1 delete, start_group 1 delete, start_group_participant 1 delete');

-- test: deleting a person deletes what hangs on it
delete from ems.person where id = 1;
select test.captures('conversation 1 delete, event_participant 1 delete, person 1 delete, person 1 update, person 1 update, '
                     'start_group_participant 1 delete, tag 1 delete');

-- test: upserts
insert into ems.tag (id, person_id, number) values (7, 1, 'T1'), (8, 1, 'T2')
    on conflict (number) do update set barcode = 'x';
select test.captures('tag 1 update, tag 8 insert');
insert into ems.tag (person_id, number) values (1, 'T1') on conflict do nothing;
insert into ems.tag (person_id, number) values (1, 'T1') on conflict (number) do update set barcode = 'x';
select test.captures('nothing');

-- test: MERGE
merge into ems.person p using (values (1, 'new'), (2, 'gone'), (77, 'new')) v (id, city) on p.id = v.id
    when matched and v.city = 'gone' then delete
    when matched then update set city = v.city
    when not matched then insert (id, first_name, last_name) values (v.id, 'a', 'b');
select test.captures('event_participant 2 delete, person 1 update, person 2 delete, person 77 insert');

-- test: COPY
copy ems.person (id, first_name, last_name) from stdin;
60	a	b
61	c	d
\.
select test.captures('person 60 insert, person 61 insert');

-- test: several writes to one table in one statement
with u as (update ems.person set city = 'x' where id = 1 returning id),
     d as (delete from ems.person where id = 5 returning id)
insert into ems.person (id, first_name, last_name) select 80, 'a', 'b' from u, d;
select test.captures('person 1 update, person 5 delete, person 80 insert');

-- test: a caller without any right on schema sync
-- needs: superuser
drop role if exists ems_sync_test_app;
create role ems_sync_test_app;
grant usage on schema ems to ems_sync_test_app;
grant select, insert, update, delete, truncate on all tables in schema ems to ems_sync_test_app;
set role ems_sync_test_app;
update ems.person set city = 'x' where id = 1;
update ems.person set city = 'y' where id = 1;
insert into ems.person (id, first_name, last_name) values (90, 'a', 'b');
delete from ems.person where id = 90;
truncate ems.contact_preference;
reset role;
select test.captures('person 0 truncate, person 1 update, person 1 update, person 90 delete, person 90 insert');
do $$ begin
    set local role ems_sync_test_app;
    perform count(*) from sync.outbox;
    raise exception 'the outbox can be read';
exception when insufficient_privilege then null;
end $$;
grant usage on schema sync to ems_sync_test_app;
do $$ begin
    set local role ems_sync_test_app;
    perform sync.watch('ems.person', 'person');
    raise exception 'anybody can watch';
exception when insufficient_privilege then null;
end $$;
do $$ begin
    set local role ems_sync_test_app;
    create temp table mine (id bigint primary key);
    create trigger t after insert on mine for each statement execute function sync.capture_truncate();
    raise exception 'anybody can attach a capture function';
exception when insufficient_privilege then null;
end $$;
drop owned by ems_sync_test_app;
drop role ems_sync_test_app;

-- test: functions of schema sync that run as their owner are closed
select test.equal(string_agg(p.proname, ','), null) from pg_proc p
 where p.pronamespace = 'sync'::regnamespace and p.prosecdef
   and (p.proconfig is null or p.proconfig[1] <> 'search_path=pg_catalog, pg_temp'
        or p.proacl is null or exists (select from aclexplode(p.proacl) where grantee = 0));

-- test: a search_path of the caller changes nothing
create schema evil;
create function evil.pg_try_advisory_xact_lock_shared(int, int) returns bool language sql as 'select 1/0 = 1';
create table evil.new_rows (id bigint);
create table evil.outbox (id bigint);
set search_path = evil, pg_catalog;
update ems.person set city = 'x' where id = 1;
select test.captures('person 1 update');

-- test: the outbox is gone
-- expect 9: (SQLSTATE 42P01)
-- expect 0: secret
drop table sync.outbox;
begin;
insert into ems.person (id, first_name, last_name) values (90, 'secret', 'secret');
update ems.person set city = 'secret' where id = 90;
delete from ems.person where id = 90;
insert into ems.organisation (id, name) values (90, 'secret');
commit;
select test.equal(count(*)::text, '1') from ems.organisation where id = 90;

-- test: the outbox is gone and a table is truncated
-- expect 1: (SQLSTATE 42P01)
drop table sync.outbox;
truncate ems.contact_preference;

-- test: the outbox is altered, and mended while a session goes on
-- expect 1: (SQLSTATE 42703)
-- expect 1: (SQLSTATE 23502)
update ems.person set city = 'w' where id = 1;
alter table sync.outbox rename column op to operation;
update ems.person set city = 'x' where id = 1;
alter table sync.outbox rename column operation to op;
alter table sync.outbox add column extra text not null default 'x';
alter table sync.outbox alter column extra drop default;
update ems.person set city = 'y' where id = 1;
alter table sync.outbox drop column extra;
update ems.person set city = 'z' where id = 1;
select test.captures('person 1 update, person 1 update');

-- test: the owner of the functions lost its right
-- needs: superuser
-- expect 1: (SQLSTATE 42501)
drop role if exists ems_sync_test_owner;
create role ems_sync_test_owner;
grant usage on schema sync to ems_sync_test_owner;
alter function sync.capture_update_id() owner to ems_sync_test_owner;
update ems.person set city = 'x' where id = 1;
select test.captures('nothing');
alter function sync.capture_update_id() owner to current_user;
drop owned by ems_sync_test_owner;
drop role ems_sync_test_owner;

-- test: the key column is renamed, also in the middle of a transaction
-- expect 2: (SQLSTATE 42703)
update ems.contact_preference set opted_in = false where id = 1;
select test.captures('person 1 update');
begin;
update ems.contact_preference set opted_in = true where id = 1;
alter table ems.contact_preference rename column person_id to owner_id;
update ems.contact_preference set opted_in = false where id = 1;
commit;
update ems.contact_preference set opted_in = true where id = 1;
select test.captures('person 1 update');
select test.equal(problem, 'the key column is gone') from sync.watched where table_name = 'ems.contact_preference';
select sync.unwatch('ems.contact_preference'), sync.watch('ems.contact_preference', 'person', 'owner_id');
update ems.contact_preference set opted_in = false where id = 1;
select test.captures('person 1 update');

-- test: row values reach no warning
-- expect 1: (SQLSTATE 23514)
-- expect 0: secret
create trigger fail before insert on sync.outbox for each row execute function test.outbox_raises('23514');
update ems.person set city = 'secret' where id = 1;
select test.equal(city, 'secret') from ems.person where id = 1 and false;

-- test: what is not ours is raised again
create trigger fail before insert on sync.outbox for each row execute function test.outbox_raises('40001');
select test.fails($$update ems.person set city = 'x'$$, '40001');
drop trigger fail on sync.outbox;
create trigger fail before insert on sync.outbox for each row execute function test.outbox_raises('40P01');
select test.fails($$update ems.person set city = 'x'$$, '40P01');
drop trigger fail on sync.outbox;
create trigger fail before insert on sync.outbox for each row execute function test.outbox_raises('53100');
select test.fails($$update ems.person set city = 'x'$$, '53100');
drop trigger fail on sync.outbox;
create trigger fail before insert on sync.outbox for each row execute function test.outbox_raises('57014');
do $$ begin
    update ems.person set city = 'x';
    raise exception 'the cancellation was swallowed';
exception when query_canceled then null;
end $$;

-- test: a statement_timeout of the EMS stays the EMS's
create function test.slow() returns trigger language plpgsql as 'begin perform pg_sleep(5); return new; end';
create trigger slow before insert on sync.outbox for each row execute function test.slow();
set statement_timeout = '300ms';
do $$ begin
    update ems.person set city = 'x' where id = 1;
    raise exception 'no timeout';
exception when query_canceled then null;
end $$;

-- test: somebody holds an exclusive lock on the outbox
-- meanwhile: lock table sync.outbox in access exclusive mode
-- expect 1: (SQLSTATE 55P03)
set statement_timeout = '10s';
update ems.person set city = 'x' where id = 1;
select test.equal(city, 'x') from ems.person where id = 1;

-- test: a relay that holds rows of the outbox makes no writer wait
-- meanwhile: insert into sync.outbox (entity_type, entity_id, source_table, op) values ('person', 1, 'x', 'update')
set statement_timeout = '1s';
update ems.person set city = 'x' where id = 1;
select test.captures('person 1 update');

-- test: a text of 1 MB and 200 columns
select format('create table public.wide (id bigint primary key, %s)', string_agg('c' || i || ' text', ', ')) from generate_series(1, 200) i \gexec
select sync.watch('public.wide', 'event');
insert into public.wide (id, c1, c200) values (1, repeat(md5(random()::text), 32768), 'x');
select test.captures('event 1 insert');
update public.wide set c2 = 'y';
select test.captures('event 1 update');
update public.wide set c1 = c1 || '';
select test.captures('nothing');
update public.wide set c1 = left(c1, -1) || '#';
select test.captures('event 1 update');

-- test: other key names and types, hostile column names, json, dropped columns, generated columns
create schema "Odd ems";
create domain public.entity_number as integer check (value > 0);
create table "Odd ems"."The table" (gone text, "Nr; drop" public.entity_number primary key, o json, n xml, trace point, source text,
    tg_argv text, captured text, me text, op text, changed text, also_gone text, twice int generated always as ("Nr; drop" * 2) stored);
alter table "Odd ems"."The table" drop column gone, drop column also_gone;
select sync.watch('"Odd ems"."The table"', 'race', 'Nr; drop');
insert into "Odd ems"."The table" values (1, '{"a": 1}', '<a/>', '(1,2)', 's', 't', 'c', 'm', 'x', 'y');
insert into "Odd ems"."The table" ("Nr; drop") values (2);
select test.captures('race 1 insert, race 2 insert');
update "Odd ems"."The table" set o = o, n = n, trace = trace;
select test.captures('nothing');
update "Odd ems"."The table" set o = '{"a":1}' where "Nr; drop" = 1;
select test.captures('race 1 update');
update "Odd ems"."The table" set "Nr; drop" = 3 where "Nr; drop" = 2;
select test.captures('race 2 delete, race 3 insert');
delete from "Odd ems"."The table";
select test.captures('race 1 delete, race 3 delete');
select test.equal(problem, null) from sync.watched where table_name = 'Odd ems.The table';

-- test: long names
create table public.a_table_whose_name_is_as_long_as_postgres_allows_it_to_be_63_bytes (a_key_column_whose_name_is_as_long_as_postgres_allows_it_to_be_ bigint primary key, also_a_key_column_whose_name_is_as_long_as_postgres_allows_it_t bigint);
select sync.watch('public.a_table_whose_name_is_as_long_as_postgres_allows_it_to_be_63_bytes', 'start_group_participant', 'a_key_column_whose_name_is_as_long_as_postgres_allows_it_to_be_'),
       sync.watch('public.a_table_whose_name_is_as_long_as_postgres_allows_it_to_be_63_bytes', 'start_group_participant', 'also_a_key_column_whose_name_is_as_long_as_postgres_allows_it_t');
insert into public.a_table_whose_name_is_as_long_as_postgres_allows_it_to_be_63_bytes values (1, 2);
select test.captures('start_group_participant 1 insert, start_group_participant 2 update');

-- test: (start_group, participant_id) and (start_group_participant, id) do not share a trigger
create table public.similar_names (id bigint primary key, participant_id bigint);
select sync.watch('public.similar_names', 'start_group_participant'), sync.watch('public.similar_names', 'start_group', 'participant_id');
insert into public.similar_names values (1, 2);
select test.captures('start_group 2 update, start_group_participant 1 insert');

-- test: a table without a primary key, with a compound one, with an enumeration as key
create table public.bare (person_no smallint, note text);
select sync.watch('public.bare', 'person', 'person_no');
insert into public.bare values (1, 'a'), (1, 'b'), (null, 'c');
select test.captures('person 1 update');
update public.bare set note = note;
select test.captures('person 1 update');
update public.bare set person_no = 2 where note = 'a';
select test.captures('person 1 update, person 2 update');
create table public.compound (a text, b date, person_no int, note text, primary key (b, a));
select sync.watch('public.compound', 'person', 'person_no');
insert into public.compound values ('x', '2027-01-01', 1, 'a'), ('y', '2027-01-01', 2, 'b');
select test.captures('person 1 update, person 2 update');
update public.compound set note = 'a';
select test.captures('person 2 update');
create type public.mood as enum ('good', 'bad');
create table public.by_mood (m public.mood primary key, person_no int);
select sync.watch('public.by_mood', 'person', 'person_no');
insert into public.by_mood values ('good', 1), ('bad', 2);
select test.captures('person 1 update, person 2 update');
update public.by_mood set m = m;
select test.captures('nothing');
select test.equal(string_agg(problem, ','), null) from sync.watched;

-- test: partitioned tables, through the parent and directly
create table public.parted (id bigint, year int, name text, primary key (id, year)) partition by list (year);
create table public.parted_2026 partition of public.parted for values in (2026);
create table public.parted_2027 partition of public.parted for values in (2027);
select sync.watch('public.parted', 'event');
insert into public.parted values (1, 2026, 'a'), (2, 2027, 'b');
select test.captures('event 1 update, event 2 update');
update public.parted set name = 'a';
select test.captures('event 2 update');
update public.parted set year = 2027 where id = 1;
select test.captures('event 1 update');
update public.parted_2027 set name = 'c' where id = 2;
select test.captures('event 2 update');
delete from public.parted where id = 1;
select test.captures('event 1 update');
create table public.parted_2028 partition of public.parted for values in (2028);
select test.equal(problem, 'partitions are not watched: parted_2028') from sync.watched where table_name = 'public.parted';
set client_min_messages = error;
\i :root/sql/functions/capture.sql
select test.equal(string_agg(problem, ','), null) from sync.watched;
truncate public.parted_2026;
select test.captures('event 0 truncate');
select sync.unwatch('public.parted');
select test.equal(count(*)::text, '0') from sync.watched where table_name like 'public.%';

-- test: a partitioned table by its own key
create table public.ranged (id bigint primary key, name text) partition by range (id);
create table public.ranged_low partition of public.ranged for values from (0) to (100);
create table public.ranged_high partition of public.ranged for values from (100) to (200);
select sync.watch('public.ranged', 'race');
insert into public.ranged values (1, 'a'), (150, 'b');
update public.ranged set id = 101 where id = 1;
select test.captures('race 1 delete, race 1 insert, race 101 insert, race 150 insert');

-- test: inherited tables
create table public.base (id bigint primary key, name text);
create table public.special (extra text) inherits (public.base);
select sync.watch('public.base', 'event');
insert into public.special values (1, 'a', 'b');
update public.base set name = 'c';
update public.special set extra = 'c';
select test.captures('event 1 update, event 1 update, event 1 update');

-- test: what can't be watched is refused with advice
-- expect 2: Watch every base table that the view reads
create view public.some_view as select * from ems.person;
create materialized view public.some_matview as select * from ems.person;
create temp table some_temp (id bigint primary key);
create table public.by_uuid (id uuid primary key);
do $$
declare statement text; advice text;
begin
    foreach statement in array array['select sync.watch(''public.some_view'', ''person'')', 'select sync.watch(''public.some_matview'', ''person'')'] loop
        begin
            execute statement;
            raise exception 'not refused' using errcode = 'ZZZZZ';
        exception when wrong_object_type then
            get stacked diagnostics advice = pg_exception_hint;
            raise warning '%', advice;
        end;
    end loop;
end $$;
select test.fails($$select sync.watch('some_temp', 'person')$$, '42809');
select test.fails($$select sync.watch('sync.outbox', 'person')$$, '42809');
select test.fails($$select sync.watch('public.by_uuid', 'person')$$, '42703');
select test.fails($$select sync.watch('ems.person', 'person', 'nr')$$, '42703');
select test.fails($$select sync.watch('ems.person', 'person', null)$$, '42703');
select test.fails($$select sync.watch('ems.person', 'preson')$$, '22023');
select test.fails($$select sync.watch('ems.person', null)$$, '22023');
select test.fails($$select sync.watch('ems.nobody', 'person')$$, '42P01');

-- test: watching again is harmless, and takes no lock
-- meanwhile: update ems.person set city = 'x' where id = 2
set lock_timeout = '1s';
select sync.watch('ems.person', 'person'), sync.watch_reference_ems();
set client_min_messages = error;
\i :root/sql/functions/capture.sql
set client_min_messages = warning;
select test.equal(count(*)::text, '44') from pg_trigger where tgname like 'sync\_%';
select test.equal(count(*)::text || coalesce(string_agg(problem, ','), ''), '11') from sync.watched;
update ems.person set city = 'x' where id = 1;
select test.captures('person 1 update');

-- test: unwatch removes everything, and what was unwatched stays so
select sync.watch('ems.conversation', 'person', 'person_id');
select sync.unwatch('ems.conversation'), sync.unwatch('ems.person'), sync.unwatch('ems.person');
set client_min_messages = error;
\i :root/sql/functions/capture.sql
update ems.conversation set status = 'x';
update ems.person set city = 'x';
select test.captures('nothing');
select test.equal(count(*)::text, '9') from sync.watched;

-- test: a changed primary key is noticed and mended by the next migrate
alter table ems.contact_preference drop constraint contact_preference_pkey;
select test.equal(problem, 'the primary key has changed: watch the table again') from sync.watched where table_name = 'ems.contact_preference';
set client_min_messages = error;
\i :root/sql/functions/capture.sql
select test.equal(string_agg(problem, ','), null) from sync.watched;
update ems.contact_preference set opted_in = false where id = 1;
select test.captures('person 1 update');

-- test: a table that was renamed stays watched, one that took its place is not
alter table ems.tag rename to old_tag;
create table ems.tag (like ems.old_tag including all);
update ems.old_tag set barcode = 'x';
select test.captures('tag 1 update');
select test.equal(string_agg(table_name, ','), 'ems.old_tag') from sync.watched where entity_type = 'tag';

-- test: truncate leaves a marker for each table and a warning
-- expect 7: was truncated
truncate ems.person cascade;
select test.captures('conversation 0 truncate, event_participant 0 truncate, person 0 truncate, person 0 truncate, '
                     'person 0 truncate, start_group_participant 0 truncate, tag 0 truncate');

-- test: traceparent
set ems.traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
update ems.person set city = 'x' where id = 1;
select test.equal(traceparent, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01') from sync.outbox;
delete from sync.outbox;
do $$
declare junk text;
begin
    foreach junk in array array['', 'x', 'Jane Doe', '00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01',
        'ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', '00-00000000000000000000000000000000-b7ad6b7169203331-01',
        '00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' || chr(10),
        '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra', repeat('a', 100000)] loop
        perform set_config('ems.traceparent', junk, true);
        update ems.person set city = md5(junk) where id = 1;
    end loop;
end $$;
select test.equal(count(*)::text || ' ' || count(traceparent), '10 0') from sync.outbox;
