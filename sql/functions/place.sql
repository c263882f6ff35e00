-- Which database this is. A role that may not ask for the system identifier gets null for it: then a copy of the whole
-- cluster is told from the original by the epoch only.
create or replace function sync.place()
returns table (system_identifier text, database_oid text, database_name text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $body$
begin
    begin
        execute 'select c.system_identifier::text from pg_control_system() c' into system_identifier;
    exception when insufficient_privilege or undefined_function then
        system_identifier := null;
    end;
    select d.oid::text, d.datname::text into database_oid, database_name
    from pg_database d where d.datname = current_database();
    return next;
end
$body$;
comment on function sync.place is 'The identity of this database: cluster, oid and name.';
