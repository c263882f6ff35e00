-- A person's (or a refusal's) order for target $1: $2 pause, resume, enable or disable; $3 why, $4 who.
-- Says whether the target was enabled before.
with before as (
    select t.target, t.disabled_on is null as was_enabled from sync.target t where t.target = $1 for update
)
update sync.target t set
    paused_on        = case $2::text when 'pause' then coalesce(t.paused_on, clock_timestamp())
                                     when 'resume' then null else t.paused_on end,
    disabled_on      = case $2::text when 'disable' then coalesce(t.disabled_on, clock_timestamp())
                                     when 'enable' then null else t.disabled_on end,
    disabled_reason  = case $2::text when 'disable' then $3 when 'enable' then null else t.disabled_reason end,
    breaker          = case $2::text when 'enable' then 'closed' else t.breaker end,
    breaker_failures = case $2::text when 'enable' then 0 else t.breaker_failures end,
    throttled_until  = case $2::text when 'enable' then null else t.throttled_until end,
    updated_on       = clock_timestamp(),
    updated_by       = $4
from before b
where t.target = b.target
returning b.was_enabled
