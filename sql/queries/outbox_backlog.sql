-- How many rows wait in the outbox, and for how long the oldest does.
select count(*) as rows,
       coalesce(extract(epoch from clock_timestamp() - min(changed_on)), 0)::float8 as oldest_seconds
from sync.outbox
