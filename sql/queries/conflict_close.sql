-- Closes conflict $1, if it is open: by $2, with outcome $3.
update sync.conflict c set closed_on = clock_timestamp(), closed_by = $2, outcome = $3
where c.conflict_id = $1 and c.closed_on is null
