-- Changes the shared state of target $1 from version $2, unless somebody was quicker; $22 says who. $23 and $24 are the
-- events for the audit trail and their reasons. Returns the new version.
with changed as (
    update sync.target t set
        paused_on         = case when $3::boolean then coalesce(t.paused_on, clock_timestamp()) end,
        disabled_on       = case when $4::boolean then coalesce(t.disabled_on, clock_timestamp()) end,
        disabled_reason   = $5,
        breaker           = $6,
        breaker_until     = $7,
        breaker_failures  = $8,
        breaker_opened_on = $9,
        closed_on         = $10,
        on_trial          = $11,
        failing_since     = $12,
        failed_on         = $13,
        streak            = $14,
        window_since      = $15,
        window_served     = $16,
        window_failed     = $17,
        window_entities   = $18,
        throttled_until   = $19,
        learnt_pause      = $20,
        last_error        = $21,
        updated_by        = $22
    where t.target = $1 and t.version = $2
    returning t.target, t.version
), audited as (
    insert into sync.target_event (target, version, event, reason, by)
    select c.target, c.version, e.event, e.reason, $22
    from changed c
    cross join unnest($23::text[], $24::text[]) as e (event, reason)
)
select c.version from changed c
