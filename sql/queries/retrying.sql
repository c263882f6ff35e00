-- Those of the entities (types $2, ids $3) that target $1 is owed and whose next try is not due yet.
select r.entity_type, r.entity_id
from sync.record r
join unnest($2::text[], $3::bigint[]) as w (entity_type, entity_id)
  on w.entity_type = r.entity_type and w.entity_id = r.entity_id
where r.target = $1 and r.state = 'retrying' and r.owed_gen > r.done_gen and r.due_on > clock_timestamp()
