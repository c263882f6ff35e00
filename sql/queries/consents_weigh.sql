-- Weighs the consents $2 that were seen at target $1, with a window of $3 seconds. See sql/functions/inbound_guard.sql.
select given, tripped, let_through, waiting, records from sync.weigh_consents($1, $2, $3, $4)
