-- A rebind trusts nothing about target $1: its records of type $2 after id $3, $4 of them, are owed, in doubt. Where the
-- entity is there, the remote id is forgotten too, so that it is looked up by its EMS id before anything names it as a
-- parent. Where it is gone, the id is kept: a delete looks whose row it is. Records without an id are looked up by key.
-- $5: ids are kept in any case, since the target's records carry no EMS id to find them by.
with chunk as (
    select r.entity_type, r.entity_id, exists (select 1 from {projection} p where p.id = r.entity_id) as is_shown
    from sync.record r
    where r.target = $1 and r.entity_type = $2 and r.entity_id > $3
    order by r.entity_id
    limit $4
    for update of r
), doubted as (
    update sync.record r set
        in_doubt     = true,
        doubts       = r.doubts + 1,
        gone         = not c.is_shown,
        lessens      = r.lessens and c.is_shown,
        -- What was let through was another loss than that of the whole record.
        delete_verdict = case when r.gone <> c.is_shown or r.delete_verdict = 'rejected' and not c.is_shown then r.delete_verdict end,
        loses_since  = case when r.owed_gen > r.done_gen and r.gone <> c.is_shown then r.loses_since
                            when not c.is_shown or r.lessens then clock_timestamp() end,
        remote_id    = case when $5 or not c.is_shown then r.remote_id end,
        former_remote_id = case when $5 or not c.is_shown then r.former_remote_id else coalesce(r.remote_id, r.former_remote_id) end,
        data_hash    = case when $5 or not c.is_shown then r.data_hash end,
        remote_hash  = case when $5 or not c.is_shown then r.remote_hash end,
        intent_on    = case when $5 then r.intent_on else coalesce(r.intent_on, clock_timestamp() - interval '1 day') end,
        owed_gen     = r.owed_gen + 1,
        owed_on      = case when r.owed_gen > r.done_gen then r.owed_on else clock_timestamp() end,
        last_owed_on = clock_timestamp(),
        cause        = 'resync',
        lane         = 'bulk',
        attempts     = 0,
        waiting_on   = null,
        state        = case when r.state = 'held' and not c.is_shown then r.state else 'pending' end,
        state_reason = case when r.state = 'held' and not c.is_shown then r.state_reason end,
        due_on       = case when r.state = 'held' and not c.is_shown then r.due_on else clock_timestamp() end,
        -- Whoever still holds a lease is fenced: what it knows is of the other place.
        lease_owner  = null,
        lease_until  = null,
        fence        = nextval('sync.fence')
    from chunk c
    where r.target = $1 and r.entity_type = c.entity_type and r.entity_id = c.entity_id
    returning r.entity_id
)
select count(*) as doubted, max(entity_id) as last from doubted
