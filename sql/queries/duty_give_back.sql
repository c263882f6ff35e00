-- Ends the run of duty $1 of target $2 that $3 has, and failed with: it is due again at once.
update sync.duty set owner = null, lease_until = null, started_on = '-infinity'
where duty = $1 and target = $2 and owner = $3
