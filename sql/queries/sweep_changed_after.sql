-- Leg 1 over everything: target $1, type $2, ids after $3, $4 rows. `found`: another version than the one that was
-- looked at (or pushed), and not owed already.
select p.id, p.modified_on, r.entity_id is null
    or (r.owed_gen = r.done_gen or r.due_on = 'infinity') and (
        r.seen_modified_on is distinct from p.modified_on
        or (r.state = 'synced' and r.entity_modified_on is distinct from p.modified_on)) as found
from (
    select v.id, v.modified_on
    from {projection} v
    where v.id > $3
    order by v.id
    limit $4
) p
left join sync.record r on r.target = $1 and r.entity_type = $2 and r.entity_id = p.id
order by p.id
