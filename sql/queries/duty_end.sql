-- Ends the run of duty $1 of target $2 that $3 has; it found $4; $5 whether it came to its end.
update sync.duty set
    owner       = null,
    lease_until = null,
    found       = found + $4,
    failures    = case when $5 then 0 else failures end,
    finished_on = case when $5 then clock_timestamp() else finished_on end
where duty = $1 and target = $2 and owner = $3
