-- The open dead letters of target $1 for the entities (types $2, ids $3) whose token is not published.
select d.*
from sync.dead_letter d
join unnest($2::text[], $3::bigint[]) as w (entity_type, entity_id)
  on w.entity_type = d.entity_type and w.entity_id = d.entity_id
where d.target = $1 and d.closed_on is null and d.token_on is null
