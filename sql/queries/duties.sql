-- The last runs of every duty, and for how long none has come to its end; one that never has counts from when it was begun.
select d.duty, d.target, d.finished_on, d.found,
       extract(epoch from clock_timestamp() - greatest(coalesce(d.finished_on, d.started_on), '2000-01-01'))::float8 as idle_seconds
from sync.duty d
