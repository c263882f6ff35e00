-- Closes conflict $1, if it is open, and notes who did it: $2, with outcome $3.
with closed as (
    update sync.conflict c set closed_on = clock_timestamp(), closed_by = $2, outcome = $3
    where c.conflict_id = $1 and c.closed_on is null
    returning c.*
)
insert into sync.operator_event (target, event, number, entity_type, entity_id, by)
select c.target, 'conflict_' || c.outcome, c.conflict_id, c.entity_type, c.entity_id, $2
from closed c
