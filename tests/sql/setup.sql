-- Loaded after the schemas, into the template that every test's database is copied from.
create schema test;

-- What was captured since the last look, sorted: 'person 1 update, person 2 delete'.
create function test.captured() returns text language sql as $$
    with taken as (delete from sync.outbox returning *)
    select coalesce(string_agg(format('%s %s %s', entity_type, entity_id, op), ', '
                               order by entity_type, entity_id, op), 'nothing') from taken
$$;

create function test.equal(actual text, expected text) returns void language plpgsql as $$
begin
    if actual is distinct from expected then
        raise exception e'expected: %\n     got: %', expected, actual;
    end if;
end
$$;

create function test.captures(expected text) returns void language sql as $$
    select test.equal(test.captured(), expected)
$$;

-- The statement fails with this SQLSTATE.
create function test.fails(statement text, state text) returns void language plpgsql as $$
begin
    execute statement;
    raise exception 'did not fail: %', statement using errcode = 'ZZZZZ';
exception when others then
    if sqlstate <> state then
        raise exception '% failed with % %, expected %', statement, sqlstate, sqlerrm, state;
    end if;
end
$$;

-- Makes every insert into the outbox fail like this, with row values in the message as a check violation has them.
create function test.outbox_raises() returns trigger language plpgsql as $$
begin
    raise exception 'Failing row contains (secret)' using errcode = tg_argv[0], detail = 'secret', hint = 'secret';
end
$$;

insert into ems.organisation (id, name) values (1, 'Club');
insert into ems.person (id, first_name, last_name, email)
    select i, 'First' || i, 'Last' || i, 'p' || i || '@example.org' from generate_series(1, 5) i;
insert into ems.event (id, organisation_id, name, start_date_time, timezone)
    values (1, 1, 'Marathon', '2027-01-01 05:00Z', 'Africa/Johannesburg');
insert into ems.race (id, event_id, name, distance_meters) values (1, 1, '42 km', 42195);
insert into ems.start_group (id, race_id, name, seq) values (1, 1, 'A', 1);
insert into ems.event_participant (id, event_id, person_id, race_id) values (1, 1, 1, 1), (2, 1, 2, null);
insert into ems.start_group_participant (id, start_group_id, event_participant_id) values (1, 1, 1);
insert into ems.tag (id, person_id, number) values (1, 1, 'T1');
insert into ems.contact_preference (id, person_id, channel, opted_in) values (1, 1, 'EMAIL', true), (2, 1, 'SMS', true);
insert into ems.list_membership (id, person_id, list_code, status) values (1, 1, 'news', 'SUBSCRIBED');
insert into ems.conversation (id, person_id, source, external_id) values (1, 1, 'chatwoot', '1'), (2, null, 'chatwoot', '2');

do $$
declare
    loaded regclass;
begin
    for loaded in select c.oid from pg_class c where c.relnamespace = 'ems'::regnamespace and c.relkind = 'r' loop
        execute format('alter table %s alter column id restart with 1000', loaded);
    end loop;
end
$$;
delete from sync.outbox;
