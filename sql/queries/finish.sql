-- Ends the leases of a batch. $3 is the read-back of fenced losers in seconds. See sql/functions/finish.sql.
select kind, entity_type, entity_id from sync.finish($1, $2, $3 * interval '1 second', $4)
