-- Counts what is at stake before a batch's deletes are sent. $6 is the window in seconds. See sql/functions/guard.sql.
select open, tripped, let_through, waiting, records from sync.guard_weigh($1, $2, $3, $4, $5, $6 * interval '1 second', $7, $8)
