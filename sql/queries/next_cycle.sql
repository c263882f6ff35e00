-- Leg 2: one more attempt ($2 were all of a cycle) for what stands in an open dead letter of target $1 whose time has
-- come, ten thousand per sweep.
with dead as (
    select r.entity_type, r.entity_id
    from sync.dead_letter d
    join sync.record r on r.target = d.target and r.entity_type = d.entity_type and r.entity_id = d.entity_id
    where d.target = $1 and d.closed_on is null and d.next_try_on <= clock_timestamp()
      and r.state = 'dead_letter' and r.owed_gen > r.done_gen
    order by r.entity_type, r.entity_id
    limit 10000
    for update of r skip locked
)
update sync.record r set state = 'pending', state_reason = null, attempts = greatest(r.attempts, $2), due_on = clock_timestamp()
from dead d
where r.target = $1 and r.entity_type = d.entity_type and r.entity_id = d.entity_id
returning r.entity_type, r.entity_id
