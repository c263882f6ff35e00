-- The database's clock, and whether requests may go to target $1 just now. Read between claiming and sending.
select clock_timestamp() as now,
       t.version,
       t.paused_on is null and t.disabled_on is null and t.held_on is null and t.breaker = 'closed'
           and coalesce(t.throttled_until <= clock_timestamp(), true) as is_open,
       t.on_trial
from sync.target t
where t.target = $1
