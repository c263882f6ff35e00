-- Lets the removals $2 of target $1 be decided about, or keeps them for a person. See sql/functions/inbound_removals.sql.
select sync.settle_removals($1, $2, $3)
