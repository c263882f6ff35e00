-- The event, and its name where the projection has one, of each of the entities with these ids ($1) that belongs to one.
select p.id, e.id as event_id, to_jsonb(e) ->> 'name' as name
from {projection} p
cross join lateral unnest(p.parents) as parent
join sync.tagserver_event e on e.id = split_part(parent, ':', 2)::bigint
where p.id = any ($1) and split_part(parent, ':', 1) = 'event'
