-- Leg 3: target $1, type $2, records after id $3, $4 of them. `found`: its projection row is gone, and it is not
-- owed already, nor left to a person or to the gap of its dead letter since it was seen to be gone.
select r.entity_id as id,
       (r.owed_gen = r.done_gen and not (r.remote_id is null and r.intent_on is null and exists (
            -- Whoever wants what it gave up takes it over.
            select from sync.record o
            where o.target = $1 and o.entity_type = $2 and o.wanted_key = r.gave_up_key and not o.gone))
        or r.due_on = 'infinity' and not r.gone)
       and not exists (select 1 from {projection} p where p.id = r.entity_id) as found
from sync.record r
where r.target = $1 and r.entity_type = $2 and r.entity_id > $3
  and (r.remote_id is not null or r.intent_on is not null or r.owed_gen > r.done_gen or r.gave_up_key is not null)
order by r.entity_id
limit $4
