-- Weighs the removals among the rows $2 of the inbox of target $1, with a window of $3 seconds. See sql/functions/inbound_removals.sql.
select open, tripped, let_through, waiting, records from sync.weigh_removals($1, $2, $3, $4)
