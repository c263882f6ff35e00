-- A person's decision about the restrictions that are held of target $1; $5 is what they saw. See sql/functions/inbound_guard.sql.
select decided, changed, refused from sync.decide_consents($1, $2, $3, $4, split_part($5, '-', 3), split_part($5, '-', 6))
