-- Nobody sends anything to target $1 for $2 seconds.
update sync.target set
    throttled_until = greatest(throttled_until, clock_timestamp() + $2 * interval '1 second'),
    updated_on      = clock_timestamp()
where target = $1
