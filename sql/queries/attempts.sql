-- The last $4 attempts for entity ($2, $3) at target $1.
select a.attempted_on, a.decision, a.outcome, a.class, a.error, a.duration_ms
from sync.attempt a
where a.target = $1 and a.entity_type = $2 and a.entity_id = $3
order by a.attempted_on desc
limit $4
