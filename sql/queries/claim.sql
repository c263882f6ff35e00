-- Claims the leases of a batch. $3 is the lease in seconds. See sql/functions/claim.sql.
select * from sync.claim($1, $2, $3 * interval '1 second', $4, $5)
