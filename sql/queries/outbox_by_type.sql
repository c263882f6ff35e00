-- How many rows of each entity type wait in the outbox, and for how long the oldest does.
select o.entity_type, count(*) as rows,
       extract(epoch from clock_timestamp() - min(o.changed_on))::float8 as oldest_seconds
from sync.outbox o
group by o.entity_type
