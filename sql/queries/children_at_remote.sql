-- For each entity of $2 (type:id) one record at target $1 that names it as a parent and is there, or may be.
select distinct on (k.parent) k.parent, r.entity_type, r.entity_id
from unnest($2::text[]) as k (parent)
join sync.record r on r.target = $1 and r.parents @> array[k.parent] and (r.remote_id is not null or r.intent_on is not null)
order by k.parent, r.entity_type, r.entity_id
