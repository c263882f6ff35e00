-- The guard of G10 for what people take out at a remote: a burst of removals waits for a person before any of them is decided about. It
-- works like sql/functions/inbound_guard.sql, in the transaction that takes them in.

-- Weighs the removals among these rows of the inbox. open: those that no verdict has been given on; a removal with a successor is
-- a move, and what no record is known of removes nothing. The other columns are those of sync.weigh_consents.
create or replace function sync.weigh_removals(
    p_target text,
    p_ids    bigint[],
    p_window float8,
    p_enough bigint,
    out open bigint[], out tripped boolean, out let_through bigint, out waiting bigint, out records bigint
)
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    v_guard sync.inbound_guard;
    v_there bigint;
begin
    select coalesce(array_agg(i.inbox_id order by i.inbox_id), '{}') into open
    from sync.inbox i
    join sync.record r on r.target = i.target and r.entity_type = i.entity_type and r.remote_id = i.remote_id
    where i.target = p_target and i.inbox_id = any (p_ids) and i.shape = 'removed' and i.successor is null and i.verdict is null;
    waiting := cardinality(open);
    tripped := false;
    let_through := 0;
    records := 0;
    if waiting = 0 then
        return;
    end if;

    select * into strict v_guard from sync.inbound_guard g where g.target = p_target and g.what = 'removals' for update;
    if v_guard.window_started_on is null or v_guard.window_started_on + p_window * interval '1 second' <= clock_timestamp() then
        v_guard.window_started_on := clock_timestamp();
        v_guard.let_through := 0;
        v_guard.records := 0;
    end if;
    let_through := v_guard.let_through;
    tripped := exists (
        select from sync.inbox i where i.target = p_target and i.state = 'held' and i.state_reason = 'guard');
    if not tripped and let_through + waiting > p_enough then
        select count(*) into v_there
        from sync.record r
        where r.target = p_target and r.remote_id is not null
          and r.entity_type in (select i.entity_type from sync.inbox i where i.inbox_id = any (open));
        records := greatest(v_guard.records, v_there);
        v_guard.records := records;
    end if;
    update sync.inbound_guard g set
        window_started_on = v_guard.window_started_on, let_through = v_guard.let_through, records = v_guard.records
    where g.target = p_target and g.what = 'removals';
end
$body$;
comment on function sync.weigh_removals is 'Counts what was taken out at a remote, under the lock of the guard.';

-- Lets the removals be decided about (p_allows), or keeps all of them for a person.
create or replace function sync.settle_removals(p_target text, p_open bigint[], p_allows boolean) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
begin
    if p_allows then
        update sync.inbox i set verdict = 'let_through' where i.inbox_id = any (p_open);
        update sync.inbound_guard g set let_through = g.let_through + cardinality(p_open)
        where g.target = p_target and g.what = 'removals';
        return;
    end if;
    if not exists (select from sync.inbox i where i.target = p_target and i.state = 'held' and i.state_reason = 'guard') then
        insert into sync.guard_decision (target, decision, decided_by, deletes, by_type)
        values (p_target, 'tripped', 'guard', cardinality(p_open), jsonb_build_object('removal', cardinality(p_open)));
    end if;
    update sync.inbox i set state = 'held', state_reason = 'guard', decided_on = clock_timestamp()
    where i.inbox_id = any (p_open);
end
$body$;
comment on function sync.settle_removals is 'Lets removals of a remote be decided about, or keeps them for a person.';

-- The removals that are held, and those that a person rejected (kept); `key`, `since` as in sync.held_now.
create or replace view sync.held_removal as
select i.target, i.inbox_id, i.entity_type, i.entity_id, i.remote_id, i.state_reason = 'guard_rejected' as kept, i.created_on,
       concat_ws(':', i.inbox_id, i.entity_id, i.state_reason) as key, coalesce(i.decided_on, i.created_on) as since
from sync.inbox i
where i.state = 'held' and i.shape = 'removed' and i.state_reason in ('guard', 'guard_rejected');
comment on view sync.held_removal is 'Removals at a remote that are held, and those that a person rejected (kept).';

-- A person decides about the removals that are held now: they are decided about as any other (p_approves), or stay as they are unless
-- the record changes there. p_kept: an approval takes in what was rejected earlier. p_seen, p_seen_kept: as in sync.guard_decide. Returns
-- how many it concerned.
drop function if exists sync.decide_removals(text, boolean, boolean, text);
drop function if exists sync.decide_removals(text, boolean, boolean, text, text);
create or replace function sync.decide_removals(
    p_target text, p_approves boolean, p_kept boolean, p_by text, p_seen text default null, p_seen_kept text default null
) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    v_open text[];
    v_kept text[];
    v_ids  bigint[];
    v_rows bigint;
    v_until timestamptz := sync.seen_until(p_seen);
    v_until_kept timestamptz := case when p_approves and p_kept then sync.seen_until(p_seen_kept) else '-infinity' end;
begin
    perform 1 from sync.inbound_guard g where g.target = p_target and g.what = 'removals' for update;
    select coalesce(array_agg(h.key) filter (where not h.kept), '{}'), coalesce(array_agg(h.key) filter (where h.kept), '{}'),
           coalesce(array_agg(h.inbox_id), '{}')
    into v_open, v_kept, v_ids
    from (
        select h.key, h.inbox_id, h.kept
        from sync.held_removal h
        where h.target = p_target and h.since <= case when h.kept then v_until_kept else v_until end
        order by h.inbox_id
        for update
    ) h;
    perform sync.check_seen(v_open, p_seen);
    if p_approves and p_kept then
        perform sync.check_seen(v_kept, p_seen_kept);
    end if;
    update sync.inbox i set
        verdict      = case when p_approves then 'approved' end,
        state        = case when p_approves then 'pending' else i.state end,
        state_reason = case when not p_approves then 'guard_rejected' end,
        decided_on   = case when not p_approves then i.decided_on end,
        due_on       = clock_timestamp()
    where i.inbox_id = any (v_ids);
    get diagnostics v_rows = row_count;
    if v_rows > 0 then
        insert into sync.guard_decision (target, decision, decided_by, deletes, by_type)
        values (p_target, case when p_approves then 'approved' else 'rejected' end, p_by, v_rows, jsonb_build_object('removal', v_rows));
    end if;
    return v_rows;
end
$body$;
comment on function sync.decide_removals is 'A person approves or rejects the removals at a remote that are held now.';
