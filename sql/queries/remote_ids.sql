-- The remote ids of entities (types $2, ids $3) at target $1.
select r.entity_type, r.entity_id, r.remote_id
from sync.record r
join unnest($2::text[], $3::bigint[]) as w (entity_type, entity_id)
  on w.entity_type = r.entity_type and w.entity_id = r.entity_id
where r.target = $1 and r.remote_id is not null
