-- Claims the leases of a batch, in key order. Only what is owed and due is claimed: a record that is leased,
-- retrying, rejected or held has its due_on in the future, so due_on is the only gate.
--
-- The claim commits two things before any request is sent: in_doubt (until a confirmed success, no hash proves
-- anything) and, where no remote id is known, intent_on (a create may exist from now on). It returns what both
-- were before, so that a finish that sent nothing can put them back. `lost_until`: until when a lease of another was good
-- that we take over; its holder may have sent something as late as that.
drop function if exists sync.claim(text, uuid, interval, text[], bigint[]);
create function sync.claim(
    p_target text,
    p_owner  uuid,
    p_lease  interval,
    p_types  text[],
    p_ids    bigint[]
) returns table (
    entity_type   text,
    entity_id     bigint,
    fence         bigint,
    owed_gen      bigint,
    owed_on       timestamptz,
    cause         text,
    traceparent   text,
    remote_id     text,
    data_hash     bytea,
    remote_hash   bytea,
    rejected_hash bytea,
    in_doubt      boolean,
    intent_on     timestamptz,
    taken_over    boolean,
    lost_until    timestamptz,
    doubts        bigint,
    attempts      integer,
    failures      integer,
    tombstoned    boolean,
    holds         text[],
    consents      text[],
    former_remote_id text,
    gave_up       boolean
)
language plpgsql
set search_path = pg_catalog, pg_temp
-- Planned once per session: as a plain SQL function its body would be planned in every call, which costs more than it does.
set plan_cache_mode = force_generic_plan
as $body$
#variable_conflict use_column
begin
    return query
    with before as (
        select r.*
        from sync.record r
        join unnest(p_types, p_ids) as w (entity_type, entity_id)
          on w.entity_type = r.entity_type and w.entity_id = r.entity_id
        where r.target = p_target
          and r.owed_gen > r.done_gen
          and r.due_on <= clock_timestamp()
        order by r.entity_type, r.entity_id
        for update of r
    )
    update sync.record r set
        lease_owner  = p_owner,
        lease_until  = clock_timestamp() + p_lease,
        due_on       = clock_timestamp() + p_lease,
        fence        = nextval('sync.fence'),
        in_doubt     = true,
        intent_on    = case when b.remote_id is null then clock_timestamp() else b.intent_on end,
        state        = 'leased',
        state_reason = null,
        waiting_on   = null
    from before b
    where r.target = p_target and r.entity_type = b.entity_type and r.entity_id = b.entity_id
    returning r.entity_type, r.entity_id, r.fence, b.owed_gen, b.owed_on, b.cause, b.traceparent, b.remote_id,
              b.data_hash, b.remote_hash, b.rejected_hash, b.in_doubt, b.intent_on, b.lease_owner is not null,
              b.lease_until, b.doubts, b.attempts, b.failures, b.tombstoned_on is not null, b.holds, b.consents,
              b.former_remote_id, b.gave_up_key is not null;
end
$body$;
comment on function sync.claim is 'Claim the leases of a batch; marks in doubt and writes the intent before anything is sent.';
