-- Writes down what was decided about row $2 of the inbox of target $1. See sql/functions/inbox.sql.
select * from sync.took_in($1, $2, $3)
