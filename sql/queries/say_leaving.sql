-- Tells all processes that a consumer of target $1 leaves (`Heard::Leaving`).
select pg_notify('ems_sync_target', $1 || ' leaving')
