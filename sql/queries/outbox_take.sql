-- Takes rows out of the outbox. $1 a floor that lives for one pass, $2 how many.
-- Whoever holds a row's lock is taking it: skip it. A late commit below the floor is found by the next pass.
delete from sync.outbox
where id = any (array(
    select o.id
    from sync.outbox o
    where o.id > $1
    order by o.id
    limit $2
    for update skip locked))
returning id, entity_type, entity_id, op, changed_on, traceparent
