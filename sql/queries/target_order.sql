-- A person's (or a refusal's) order for target $1: $2 pause, resume, enable or disable; $3 why, $4 who.
update sync.target set
    paused_on        = case $2::text when 'pause' then coalesce(paused_on, clock_timestamp())
                                     when 'resume' then null else paused_on end,
    disabled_on      = case $2::text when 'disable' then coalesce(disabled_on, clock_timestamp())
                                     when 'enable' then null else disabled_on end,
    disabled_reason  = case $2::text when 'disable' then $3 when 'enable' then null else disabled_reason end,
    breaker          = case $2::text when 'enable' then 'closed' else breaker end,
    breaker_failures = case $2::text when 'enable' then 0 else breaker_failures end,
    throttled_until  = case $2::text when 'enable' then null else throttled_until end,
    updated_on       = clock_timestamp(),
    updated_by       = $4
where target = $1
