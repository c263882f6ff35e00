-- Records that target $1 is owed and that are due, parents' types first. $2 how many, $3 the bulk lane too.
select r.entity_type, r.entity_id, r.cause, coalesce(r.owed_on, clock_timestamp()) as owed_on, r.traceparent
from sync.record r
where r.target = $1
  and r.owed_gen > r.done_gen
  and r.due_on <= clock_timestamp()
  and (r.lane = 'live' or $3)
order by r.due_on
limit $2
