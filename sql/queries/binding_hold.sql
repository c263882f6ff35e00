-- Holds target $1 because the parts $2 differ, and with $3 every target that is bound: an epoch is everybody's. Returns
-- those that were not held before.
with held as (
    update sync.binding b set held_on = clock_timestamp(), held_parts = $2
    where b.held_on is null and (b.target = $1 or ($3 and b.database is not null))
    returning b.target
), closed as (
    update sync.target t set held_on = clock_timestamp(), updated_by = 'ems-sync'
    from held h
    where t.target = h.target
), told as (
    insert into sync.binding_event (target, event, parts, done_by)
    select target, 'held', $2, 'ems-sync' from held
    returning target
)
select target from told
