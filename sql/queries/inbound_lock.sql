-- Locks the EMS rows of entity $3 of type $2, as target $1 writes them. See sql/functions/inbox.sql.
select sync.inbound_lock($1, $2, $3)
