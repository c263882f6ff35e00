-- Has the EMS take the restrictions $2 of target $1, or keeps them for a person. See sql/functions/inbound_guard.sql.
select changed, refused from sync.settle_consents($1, $2, $3)
