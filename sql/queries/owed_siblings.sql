-- For each entity (types $2, ids $3) with a parent of it ($4, as type:id) the oldest one of its type and that parent
-- that came before it, is at target $1 and is owed, unless only a person can move it.
select w.entity_type, w.entity_id, min(r.entity_id) as older_id
from unnest($2::text[], $3::bigint[], $4::text[]) as w (entity_type, entity_id, parent)
join sync.record r
  on r.target = $1 and r.entity_type = w.entity_type and r.entity_id < w.entity_id and r.parents @> array[w.parent]
where r.remote_id is not null
  and r.owed_gen > r.done_gen
  and r.state not in ('rejected', 'held', 'dead_letter')
group by w.entity_type, w.entity_id
