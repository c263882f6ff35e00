-- A person's decision about the removals that are held of target $1; $5 is what they saw. See sql/functions/inbound_removals.sql.
select sync.decide_removals($1, $2, $3, $4, split_part($5, '-', 2), split_part($5, '-', 5))
