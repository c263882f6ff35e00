-- Moves the breaker of target $1 from $2 to $3 for $4 seconds; $5 the error that opened it.
update sync.target set
    breaker           = $3,
    breaker_until     = case when $3 = 'closed' then null else clock_timestamp() + $4 * interval '1 second' end,
    breaker_failures  = case $3 when 'open' then breaker_failures + 1 when 'closed' then 0 else breaker_failures end,
    breaker_opened_on = case when $3 = 'closed' then null else coalesce(breaker_opened_on, clock_timestamp()) end,
    last_error        = coalesce($5, last_error),
    updated_on        = clock_timestamp(),
    updated_by        = 'breaker'
where target = $1 and breaker = $2 and (breaker <> 'half_open' or $3 <> 'half_open' or breaker_until <= clock_timestamp())
