-- Attaches ems.set_modified_on() to every table of the schema. ALWAYS: also under session_replication_role = replica.
-- What is in place is not touched, so that a second run takes no lock on the tables.
do $$
declare
    stamped regclass;
begin
    for stamped in
        select c.oid
          from pg_catalog.pg_class c
         where c.relnamespace = 'ems'::regnamespace
           and c.relname = any (array['organisation', 'person', 'event', 'race', 'start_group', 'event_participant',
                                      'start_group_participant', 'tag', 'contact_preference', 'list_membership', 'conversation'])
           and not exists (select from pg_catalog.pg_trigger t
                            where t.tgrelid = c.oid and t.tgname = 'set_modified_on' and t.tgenabled = 'A')
         order by c.relname
    loop
        execute format('create or replace trigger set_modified_on before insert or update on %s '
                       'for each row execute function ems.set_modified_on()', stamped);
        execute format('alter table %s enable always trigger set_modified_on', stamped);
    end loop;
end
$$;

do $$
declare
    commented text;
begin
    foreach commented in array
        array['organisation', 'person', 'event', 'race', 'start_group', 'event_participant',
              'start_group_participant', 'tag', 'contact_preference', 'list_membership', 'conversation']
    loop
        execute format('comment on column ems.%I.modified_on is %L', commented,
                       'Kept by set_modified_on: later with every real change, never earlier.');
    end loop;
end
$$;
