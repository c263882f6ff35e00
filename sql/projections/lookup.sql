-- How an operator's words find an entity (`ems-sync explain --email`, `--bib`): the newest first, one more than are explained, so
-- that it is told that there are more. An EMS with other tables replaces these.
create or replace function sync.lookup_email(p_email text) returns table (entity_type text, entity_id bigint)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select 'person', p.id from ems.person p where lower(p.email) = lower(trim(p_email)) order by p.id desc limit 21
$$;

create or replace function sync.lookup_bib(p_bib text) returns table (entity_type text, entity_id bigint)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select 'event_participant', p.id from ems.event_participant p where p.number = trim(p_bib) order by p.id desc limit 21
$$;
