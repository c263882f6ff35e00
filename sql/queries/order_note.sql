-- A person has ordered something of target $1: what ($2), what of ($3), who ($4).
insert into sync.operator_event (target, event, detail, by) values ($1, $2, $3, $4)
