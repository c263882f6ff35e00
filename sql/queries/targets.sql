-- The shared state of every target.
select t.target,
       t.paused_on is not null as paused,
       t.disabled_on is not null as disabled,
       t.disabled_reason,
       t.breaker,
       coalesce(t.breaker_until <= clock_timestamp(), true) as breaker_is_due,
       t.breaker_failures,
       case when t.throttled_until > clock_timestamp() then t.throttled_until end as throttled_until,
       case when t.breaker <> 'closed' then t.breaker_until end as breaker_until,
       t.last_error
from sync.target t
