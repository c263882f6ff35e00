-- Leg 1: target $1, type $2, versions from ($3, after id $4) on, $5 rows. `found`: another version than the one
-- that was looked at, and not owed already.
select p.id, p.modified_on, r.entity_id is null
    or (r.owed_gen = r.done_gen or r.due_on = 'infinity') and r.seen_modified_on is distinct from p.modified_on as found
from (
    select v.id, v.modified_on
    from {projection} v
    where (v.modified_on, v.id) > ($3, $4)
    order by v.modified_on, v.id
    limit $5
) p
left join sync.record r on r.target = $1 and r.entity_type = $2 and r.entity_id = p.id
order by p.modified_on, p.id
