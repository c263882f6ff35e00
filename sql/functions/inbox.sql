-- Takes in what was read: the newest snapshot of each remote record that says something new. Runs in the transaction that
-- also moves the walk's position, so a page is stored whole or not at all.
--
-- Left out, because there is nothing to decide: what holds what its record says that it holds or that we pushed (seen, or our own
-- write come back), also where an older snapshot of it still waits, which is then dropped; what was decided with exactly this
-- content before; and the removal of what nobody knows.
--
-- p_rows: [{entity_type, remote_id, entity_id, shape, body, extra, parents, hash (hex), reason, successor, modified_on}].
-- p_nothing: the hash of a record of which the target has nothing any more (hex), or null.
-- Returns what is to be decided.
create or replace function sync.take_in(
    p_target       text,
    p_requested_on timestamptz,
    p_nothing      bytea,
    p_rows         jsonb
) returns table (inbox_id bigint, entity_type text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
#variable_conflict use_column
begin
    return query
    with given as (
        select distinct on (x.entity_type, x.remote_id) x.*, decode(x.hash, 'hex') as digest
        from jsonb_to_recordset(p_rows) with ordinality as x (
            entity_type text, remote_id text, entity_id bigint, shape text, body jsonb, extra jsonb, parents jsonb, hash text,
            reason text, successor text, modified_on timestamptz, nr bigint)
        order by x.entity_type, x.remote_id, x.nr desc
    ), known as (
        select g.*,
               r.entity_id is not null as mapped,
               case when g.shape = 'stands' then g.digest in (r.remote_hash, r.data_hash)
                    else r.remote_hash is not distinct from p_nothing and r.entity_id is not null and p_nothing is not null end as is_seen,
               i.inbox_id is not null as waits
        from given g
        left join sync.record r on r.target = p_target and r.entity_type = g.entity_type and r.remote_id = g.remote_id
        left join sync.inbox i on i.target = p_target and i.entity_type = g.entity_type and i.remote_id = g.remote_id
    ), settled as (
        delete from sync.inbox i using known k
        where i.target = p_target and i.entity_type = k.entity_type and i.remote_id = k.remote_id
          and k.is_seen and i.requested_on <= p_requested_on
    )
    insert into sync.inbox as i
        (target, entity_type, remote_id, entity_id, shape, body, extra, parents, hash, reason, successor, modified_on, requested_on)
    select p_target, k.entity_type, k.remote_id, k.entity_id, k.shape, k.body, k.extra, coalesce(k.parents, '[]'), k.digest, k.reason,
           k.successor, k.modified_on, p_requested_on
    from known k
    where k.is_seen is not true and (k.shape = 'stands' or k.mapped or k.waits)
    order by k.entity_type, k.remote_id
    on conflict (target, entity_type, remote_id) do update set
        entity_id = excluded.entity_id, shape = excluded.shape, body = excluded.body, extra = excluded.extra,
        parents = excluded.parents, hash = excluded.hash, reason = excluded.reason, successor = excluded.successor,
        modified_on = excluded.modified_on, requested_on = excluded.requested_on, seen_gen = i.seen_gen + 1,
        state = 'pending', state_reason = null, last_error = null, attempts = 0, due_on = clock_timestamp()
    where i.requested_on <= excluded.requested_on
      -- What was decided with this content, or waits for a person with it, is not decided again.
      and not (i.state in ('done', 'held', 'rejected') and i.shape = excluded.shape and i.hash is not distinct from excluded.hash)
    returning i.inbox_id, i.entity_type;
end
$body$;
comment on function sync.take_in is 'Takes in what was read from a remote, as far as it says something new.';
