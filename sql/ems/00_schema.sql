-- The reference EMS: the database that ems-sync is attached to in the demo, the tests and the benchmarks.
-- An EMS that has its own tables uses none of these files. Files are applied in name order and may be applied again.

create schema if not exists ems;
comment on schema ems is
    'Reference event management system: the base tables that ems-sync watches. Owned by the EMS, not by the worker.';

-- The trigger decides about modified_on, whatever the statement says:
--   insert: now, an explicit value is replaced;
--   update that changes another column: now, but always later than before, even when the clock was set back;
--   update that changes nothing else: the old value, so neither a no-op nor an explicit modified_on makes a row look new.
-- The comparison is by binary image (*<>): `is distinct from` fails on json and overlooks what a collation calls equal.
create or replace function ems.set_modified_on() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        new.modified_on := pg_catalog.clock_timestamp();
        return new;
    end if;
    new.modified_on := old.modified_on;
    if new operator(pg_catalog.*<>) old then
        new.modified_on := greatest(pg_catalog.clock_timestamp(), old.modified_on + interval '1 microsecond');
    end if;
    return new;
end
$$;
comment on function ems.set_modified_on() is
    'Before insert or update: keeps modified_on; strictly increasing per row, untouched by an update that changes nothing.';
