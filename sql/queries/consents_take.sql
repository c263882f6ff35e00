-- Takes in consents that were seen at target $1; how many changed something in the EMS. See sql/projections/consents_inbound.sql.
select sync.take_consents($1, $2)
