-- Keeps the audit trail of attempts in daily partitions: makes those of today and the next two days, drops what is
-- older than p_days. Rows that came before their partition stand in the default one and are deleted by age.
create or replace function sync.keep_attempts(p_days integer) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    v_day       date;
    v_partition text;
begin
    -- One at a time; whoever comes second finds it done.
    if not pg_try_advisory_xact_lock(4541779, 4) then
        return;
    end if;
    for v_day in select (current_date + n)::date from generate_series(0, 2) n loop
        v_partition := 'attempt_' || to_char(v_day, 'YYYYMMDD');
        if to_regclass('sync.' || v_partition) is null
           and not exists (select from sync.attempt_rest a where a.attempted_on >= v_day and a.attempted_on < v_day + 1)
        then
            execute format('create table sync.%I partition of sync.attempt for values from (%L) to (%L)',
                           v_partition, v_day::timestamptz, (v_day + 1)::timestamptz);
        end if;
    end loop;
    for v_partition in
        select c.relname
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'sync.attempt'::regclass and c.relname ~ '^attempt_[0-9]{8}$'
          and to_date(right(c.relname, 8), 'YYYYMMDD') < current_date - p_days
    loop
        execute format('drop table sync.%I', v_partition);
    end loop;
    delete from sync.attempt_rest a where a.attempted_on < current_date - p_days;
end
$body$;
comment on function sync.keep_attempts is 'Daily partitions of the audit trail: made ahead, dropped after p_days.';
