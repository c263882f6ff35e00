-- Drops what is left of what came back from a remote when it is of no more use: a daily duty, in bounded batches.

-- p_limit: rows of each kind at once. Returns how many there were; below p_limit of each, nothing is left.
--
-- Conflicts that were closed p_conflict_days ago; webhooks whose signature is not accepted any more; and of persons that the EMS has not
-- any more what sync.purge_gone_persons knows of (sql/projections/consents_inbound.sql), p_gone_days after it was noted.
create or replace function sync.purge_inbound(
    p_target        text,
    p_conflict_days float8,
    p_gone_days     float8,
    p_hook_seconds  float8,
    p_limit         bigint
) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    v_rows  bigint;
    v_total bigint := 0;
begin
    delete from sync.conflict c where c.conflict_id = any (array(
        select o.conflict_id from sync.conflict o
        where o.target = p_target and o.closed_on < clock_timestamp() - p_conflict_days * interval '1 day'
        limit p_limit for update skip locked));
    get diagnostics v_rows = row_count;
    v_total := v_total + v_rows;
    delete from sync.hook_seen s where s.ctid = any (array(
        select o.ctid from sync.hook_seen o
        where o.target = p_target and o.seen_on < clock_timestamp() - p_hook_seconds * interval '1 second'
        limit p_limit for update skip locked));
    get diagnostics v_rows = row_count;
    v_total := v_total + v_rows;
    -- Another EMS may have no such function.
    if to_regprocedure('sync.purge_gone_persons(text, double precision, bigint)') is not null then
        execute 'select sync.purge_gone_persons($1, $2, $3)' into v_rows using p_target, p_gone_days, p_limit;
        v_total := v_total + v_rows;
    end if;
    return v_total;
end
$body$;
comment on function sync.purge_inbound is 'Drops what came back from a remote and is of no more use.';
