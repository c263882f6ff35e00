-- Leg 2: a new cycle for what ended in a dead letter at target $1 and may succeed now, ten thousand per sweep.
with dead as (
    select r.entity_type, r.entity_id
    from sync.record r
    where r.target = $1 and r.state = 'dead_letter' and r.owed_gen > r.done_gen
    order by r.entity_type, r.entity_id
    limit 10000
    for update of r skip locked
)
update sync.record r set state = 'pending', attempts = 0, due_on = clock_timestamp()
from dead d
where r.target = $1 and r.entity_type = d.entity_type and r.entity_id = d.entity_id
returning r.entity_type, r.entity_id
