-- Owes target $2 the orphans of type $3 after id $4, $5 of them, that walk $1 found. A record is made where there is none,
-- and names the row that is to go; whether it goes is decided by whoever claims it.
with orphans as (
    select distinct on (v.entity_id) v.entity_id, v.remote_id
    from sync.verify_row v
    where v.run = $1 and v.entity_type = $3 and v.entity_id > $4 and v.finding = 'orphaned'
    order by v.entity_id, v.remote_id
    limit $5
), owed as (
    insert into sync.record as r
        (target, entity_type, entity_id, remote_id, owed_gen, owed_on, last_owed_on, cause, lane, in_doubt, gone, loses_since)
    select $2, $3, o.entity_id, o.remote_id, 1, clock_timestamp(), clock_timestamp(), 'resync', 'bulk', true, true,
           clock_timestamp()
    from orphans o
    on conflict (target, entity_type, entity_id) do update set
        remote_id    = coalesce(r.remote_id, excluded.remote_id),
        in_doubt     = true,
        doubts       = r.doubts + 1,
        gone         = true,
        lessens      = false,
        -- What was let through was another loss, or one that is done.
        delete_verdict = case when r.delete_verdict = 'rejected' or r.gone and r.owed_gen > r.done_gen then r.delete_verdict end,
        loses_since  = case when r.owed_gen > r.done_gen and r.gone then r.loses_since else excluded.loses_since end,
        owed_gen     = r.owed_gen + 1,
        owed_on      = case when r.owed_gen > r.done_gen then r.owed_on else clock_timestamp() end,
        last_owed_on = clock_timestamp(),
        cause        = 'resync',
        lane         = 'bulk',
        attempts     = 0,
        waiting_on   = null,
        state        = case when r.state in ('leased', 'retrying', 'held') then r.state else 'pending' end,
        state_reason = case when r.state in ('leased', 'retrying', 'held') then r.state_reason end,
        due_on       = case when r.state in ('leased', 'retrying', 'held') then r.due_on else clock_timestamp() end
    returning r.entity_id
)
select count(*) as owed, max(entity_id) as last from owed
