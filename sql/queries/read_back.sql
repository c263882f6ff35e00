-- Records of target $1 whose ambiguous write is to be looked at again: owed, in doubt, then the next look. What
-- stands in a dead letter is tried in its own time: the doubt alone sees to it that it is looked at then.
-- $2 how many, $3 and $4 the second and third look in seconds.
with looked_at as (
    select r.entity_type, r.entity_id
    from sync.record r
    where r.target = $1 and r.read_back_on <= clock_timestamp() and r.lease_owner is null
    order by r.entity_type, r.entity_id
    limit $2
    for update of r skip locked
)
update sync.record r set
    in_doubt       = true,
    -- Without a known id the look is by our key: a create that was delayed may have landed after all.
    intent_on      = case when r.remote_id is null then coalesce(r.intent_on, clock_timestamp() - interval '1 day')
                          else r.intent_on end,
    owed_gen       = r.owed_gen + (r.state not in ('rejected', 'dead_letter'))::int,
    owed_on        = coalesce(r.owed_on, clock_timestamp()),
    last_owed_on   = clock_timestamp(),
    cause          = 'sweep',
    waiting_on     = case when r.state = 'waiting' then null else r.waiting_on end,
    state          = case when r.state in ('retrying', 'held', 'rejected', 'dead_letter') then r.state else 'pending' end,
    due_on         = case when r.state in ('retrying', 'held', 'rejected', 'dead_letter') then r.due_on else clock_timestamp() end,
    read_back_step = r.read_back_step + 1,
    read_back_on   = case r.read_back_step
                         when 0 then clock_timestamp() + $3 * interval '1 second'
                         when 1 then clock_timestamp() + $4 * interval '1 second' end
from looked_at l
where r.target = $1 and r.entity_type = l.entity_type and r.entity_id = l.entity_id
