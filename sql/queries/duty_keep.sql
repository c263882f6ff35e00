-- Prolongs duty $1 of target $2 that $3 has, by $4 seconds.
update sync.duty set lease_until = clock_timestamp() + $4 * interval '1 second'
where duty = $1 and target = $2 and owner = $3
