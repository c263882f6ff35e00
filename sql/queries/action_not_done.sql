-- An action of a person that nobody waited for any more came to nothing: what it was and why ($4).
insert into sync.operator_event (target, event, number, detail, by) values ($1, $2, $3, $4, $5)
