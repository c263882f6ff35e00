-- Puts open dead letters back: their entities are owed a whole new cycle, and what the remote rejected is tried again. They
-- stay open until a cycle succeeds. One that was put back already and has not failed since is left as it is, so that
-- repeating this does no harm. Returns those that were put back.
create or replace function sync.replay(p_numbers bigint[], p_by text)
returns table (dead_letter_id bigint, target text, entity_type text, entity_id bigint)
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
#variable_conflict use_column
begin
    -- Records first and in key order, like everybody who locks several of them.
    perform 1
    from sync.dead_letter d
    join sync.record r on r.target = d.target and r.entity_type = d.entity_type and r.entity_id = d.entity_id
    where d.dead_letter_id = any (p_numbers)
    order by r.target, r.entity_type, r.entity_id
    for update of r;

    return query
    with put_back as (
        update sync.dead_letter d set replayed_on = clock_timestamp(), replayed_by = p_by
        where d.dead_letter_id = any (p_numbers)
          and d.closed_on is null and d.replayed_on is null and d.entity_type is not null
        returning d.*
    ), owed as (
        update sync.record r set
            owed_gen      = r.owed_gen + 1,
            owed_on       = coalesce(r.owed_on, clock_timestamp()),
            last_owed_on  = coalesce(r.last_owed_on, clock_timestamp()),
            cause         = 'replay',
            attempts      = case when r.state in ('leased', 'retrying') then r.attempts else 0 end,
            rejected_hash = null,
            waiting_on    = case when r.state = 'waiting' then null else r.waiting_on end,
            state         = case when r.state in ('leased', 'retrying', 'held') then r.state else 'pending' end,
            state_reason  = case when r.state in ('leased', 'retrying', 'held') then r.state_reason end,
            due_on        = case when r.state in ('leased', 'retrying', 'held') then r.due_on else clock_timestamp() end
        from put_back d
        where r.target = d.target and r.entity_type = d.entity_type and r.entity_id = d.entity_id
        returning d.dead_letter_id
    ), noted as (
        insert into sync.operator_event (target, event, number, entity_type, entity_id, by)
        select d.target, 'dead_letter_replayed', d.dead_letter_id, d.entity_type, d.entity_id, p_by
        from put_back d
        order by d.dead_letter_id
    )
    select d.dead_letter_id, d.target, d.entity_type, d.entity_id
    from put_back d
    order by d.dead_letter_id;
end
$body$;
comment on function sync.replay is 'Put open dead letters back: each entity is owed a new cycle.';

-- Discards open dead letters: nothing is tried again until the entity changes. One that is being tried at this moment is
-- left as it is. Returns those that were discarded.
create or replace function sync.discard(p_numbers bigint[], p_by text)
returns table (dead_letter_id bigint)
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
#variable_conflict use_column
begin
    perform 1
    from sync.dead_letter d
    join sync.record r on r.target = d.target and r.entity_type = d.entity_type and r.entity_id = d.entity_id
    where d.dead_letter_id = any (p_numbers)
    order by r.target, r.entity_type, r.entity_id
    for update of r;

    return query
    with discarded as (
        update sync.dead_letter d set closed_on = clock_timestamp(), closed_by = p_by, outcome = 'discarded'
        where d.dead_letter_id = any (p_numbers) and d.closed_on is null
          and not exists (
              select from sync.record r
              where r.target = d.target and r.entity_type = d.entity_type and r.entity_id = d.entity_id
                and r.state in ('leased', 'retrying'))
        returning d.*
    ), left_alone as (
        update sync.record r set
            dead_lettered_on = null,
            state            = case when r.state = 'held' then r.state else 'rejected' end,
            state_reason     = case when r.state = 'held' then r.state_reason else 'discarded' end,
            waiting_on       = null,
            due_on           = 'infinity'
        from discarded d
        where r.target = d.target and r.entity_type = d.entity_type and r.entity_id = d.entity_id
        returning 1
    ), noted as (
        insert into sync.operator_event (target, event, number, entity_type, entity_id, by)
        select d.target, 'dead_letter_discarded', d.dead_letter_id, d.entity_type, d.entity_id, p_by
        from discarded d
        order by d.dead_letter_id
    )
    select d.dead_letter_id from discarded d order by d.dead_letter_id;
end
$body$;
comment on function sync.discard is 'Discard open dead letters: their entities are left alone until they change.';
