-- Prolongs the walk of $3 through stream $2 of target $1, by $4 seconds.
update sync.cursor set walker_until = clock_timestamp() + $4 * interval '1 second'
where target = $1 and stream = $2 and walker = $3
