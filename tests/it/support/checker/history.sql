-- What the EMS had, and what became of the sync records: kept for the checker by triggers of its own.
create schema checker;

create table checker.version (
    version     bigint generated always as identity primary key,
    entity_type text        not null,
    entity_id   bigint      not null,
    gone        boolean     not null,
    content     jsonb       not null,
    kept_on     timestamptz not null default clock_timestamp()
);
create index on checker.version (entity_type, entity_id);

create table checker.accident (
    entity_type text        not null,
    entity_id   bigint      not null,
    kind        text        not null,
    kept_on     timestamptz not null default clock_timestamp()
);

create function checker.keep_version() returns trigger language plpgsql as $body$
begin
    if tg_op = 'DELETE' then
        insert into checker.version (entity_type, entity_id, gone, content) values (tg_table_name, old.id, true, to_jsonb(old));
    elsif tg_op = 'INSERT' or new operator(pg_catalog.*<>) old then
        insert into checker.version (entity_type, entity_id, gone, content) values (tg_table_name, new.id, false, to_jsonb(new));
    end if;
    return null;
end
$body$;

-- A lease that was taken over, a read-back, a doubt that no claim raised: each explains one more write.
create function checker.keep_accident() returns trigger language plpgsql as $body$
begin
    insert into checker.accident (entity_type, entity_id, kind) values (new.entity_type, new.entity_id, tg_argv[0]);
    return null;
end
$body$;

create trigger taken_over after update on sync.tagserver_record for each row
    when (old.lease_owner is not null and new.lease_owner is not null and new.fence is distinct from old.fence)
    execute function checker.keep_accident('taken over');
create trigger read_back after update on sync.tagserver_record for each row
    when (new.read_back_step > old.read_back_step) execute function checker.keep_accident('read back');
create trigger doubted after update on sync.tagserver_record for each row
    when (new.in_doubt and not old.in_doubt and new.lease_owner is null) execute function checker.keep_accident('doubted');

do $body$
declare
    kept text;
begin
    foreach kept in array array['organisation', 'person', 'event', 'race', 'start_group', 'event_participant',
                                'start_group_participant', 'tag'] loop
        execute format('create trigger keep_version after insert or update or delete on ems.%I '
                       'for each row execute function checker.keep_version()', kept);
        execute format('insert into checker.version (entity_type, entity_id, gone, content) '
                       'select %L, t.id, false, to_jsonb(t) from ems.%I t', kept, kept);
    end loop;
end
$body$;
