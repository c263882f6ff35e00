-- The last runs of every duty, and for how long none has come to its end; one that never has counts from when it was first begun.
select d.duty, d.target, d.finished_on, d.found,
       extract(epoch from clock_timestamp() - coalesce(d.finished_on, d.first_begun_on))::float8 as idle_seconds,
       -- Its first try: what has failed must come to its end to be believed.
       coalesce(d.lease_until > clock_timestamp(), false) and d.failures = 0 as is_under_way
from sync.duty d
