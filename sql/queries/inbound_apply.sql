-- Has the EMS take a change of target $1: type $2, entity $3, fields $4; or, for reason $5, its removal. See sql/functions/inbox.sql.
select * from sync.inbound_apply($1, $2, $3, $4, $5)
