-- Whose a record of target $1 may be that nobody knows: type $2, fields $3, at most $4. See sql/functions/inbox.sql.
select * from sync.inbound_match($1, $2, $3, $4)
