-- Ends the run of duty $1 of target $2 that $3 has, and failed with: it is due again after $5 of its $4 seconds.
update sync.duty set
    owner       = null,
    lease_until = null,
    failures    = failures + 1,
    started_on  = clock_timestamp() - ($4::float8 - least($4::float8, $5::float8)) * interval '1 second'
where duty = $1 and target = $2 and owner = $3
