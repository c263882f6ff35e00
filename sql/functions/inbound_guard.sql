-- The guard of G10 for what comes back: a burst of restrictions at a remote (somebody archives a whole list there) is not taken before
-- a person approves it, since it would flow on to every other target. The rule is `deliver::guard`, as for deletes; the numbers come from
-- here. weigh and settle run in the transaction that stores a page, under the lock of the target's row in sync.inbound_guard.
-- What names the EMS's tables stands in sql/projections/consents_inbound.sql.

-- Weighs the restrictions of a page, and forgets what a remote record does not show any more.
-- p_rows: [{person, subject, record, state, said_on, at_latest}].
-- given        those that would change something in the EMS, each with when it was said; without those that are held or rejected
-- tripped      restrictions are being held
-- let_through  in this window so far
-- waiting      how many are given
-- records      what the EMS has of what they concern, the most in this window. Counted only where more than p_enough are at stake
create or replace function sync.weigh_consents(
    p_target text,
    p_rows   jsonb,
    p_window float8,
    p_enough bigint,
    out given jsonb, out tripped boolean, out let_through bigint, out waiting bigint, out records bigint
)
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    v_guard sync.inbound_guard;
begin
    delete from sync.consent_seen c
    using jsonb_to_recordset(p_rows) as x (person bigint, subject jsonb, record text, state text)
    where x.state = 'lifted' and c.target = p_target and c.person_id = x.person and c.subject = x.subject::text and c.record = x.record;
    delete from sync.consent_held c
    using jsonb_to_recordset(p_rows) as x (person bigint, subject jsonb, record text, state text)
    where x.state = 'lifted' and c.target = p_target and c.person_id = x.person and c.subject = x.subject::text and c.record = x.record;

    insert into sync.consent_seen as c (target, person_id, subject, record, state, seen_on)
    select distinct on (x.person, x.subject::text, x.record) p_target, x.person, x.subject::text, x.record, x.state,
           least(clock_timestamp(), x.at_latest)
    from jsonb_to_recordset(p_rows) as x
         (person bigint, subject jsonb, record text, state text, said_on timestamptz, at_latest timestamptz)
    where x.said_on is null and x.state <> 'lifted'
    order by x.person, x.subject::text, x.record, x.state
    on conflict (target, person_id, subject, record) do update set state = excluded.state, seen_on = excluded.seen_on
    where c.state <> excluded.state;

    select coalesce(jsonb_agg(to_jsonb(g)), '[]') into given
    from (
        select distinct on (x.person, x.subject::text)
               x.person, x.subject, x.record, x.state, coalesce(x.said_on, s.seen_on) as said_on
        from jsonb_to_recordset(p_rows) as x (person bigint, subject jsonb, record text, state text, said_on timestamptz)
        left join sync.consent_seen s
               on s.target = p_target and s.person_id = x.person and s.subject = x.subject::text and s.record = x.record
              and x.said_on is null
        where x.state <> 'lifted'
          and not exists (
              select from sync.consent_held h
              where h.target = p_target and h.person_id = x.person and h.subject = x.subject::text and h.record = x.record
                and h.state = x.state
                -- The same moment comes out a little different with every measure of the remote's clock.
                and coalesce(x.said_on, s.seen_on) <= h.said_on + interval '1 minute')
        order by x.person, x.subject::text, said_on desc
    ) g;
    given := sync.consents_open(given);
    waiting := jsonb_array_length(given);
    tripped := false;
    let_through := 0;
    records := 0;
    if waiting = 0 then
        return;
    end if;

    select * into strict v_guard from sync.inbound_guard g where g.target = p_target and g.what = 'consents' for update;
    if v_guard.window_started_on is null or v_guard.window_started_on + p_window * interval '1 second' <= clock_timestamp() then
        v_guard.window_started_on := clock_timestamp();
        v_guard.let_through := 0;
        v_guard.records := 0;
    end if;
    let_through := v_guard.let_through;
    tripped := exists (select from sync.consent_held h where h.target = p_target and h.rejected_on is null);
    if not tripped and let_through + waiting > p_enough then
        records := greatest(v_guard.records, sync.consents_there(given));
        v_guard.records := records;
    end if;
    update sync.inbound_guard g set
        window_started_on = v_guard.window_started_on, let_through = v_guard.let_through, records = v_guard.records
    where g.target = p_target and g.what = 'consents';
end
$body$;
comment on function sync.weigh_consents is 'Counts what a page''s restrictions would take away in the EMS, under the lock of the guard.';

-- Has the EMS take restrictions. Where it refuses one of them they are taken one by one: a trigger or constraint of the EMS that
-- does not like one row does not keep the others out. `refused`: [{person, sqlstate}]; its messages may quote values.
create or replace function sync.take_given_consents(p_target text, p_given jsonb, out changed bigint, out refused jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    v_row jsonb;
begin
    refused := '[]';
    begin
        changed := sync.take_consents(p_target, p_given);
        return;
    exception when data_exception or integrity_constraint_violation or raise_exception then
        changed := 0;
    end;
    for v_row in select e.e from jsonb_array_elements(p_given) as e (e) loop
        begin
            changed := changed + sync.take_consents(p_target, jsonb_build_array(v_row));
        exception when data_exception or integrity_constraint_violation or raise_exception then
            refused := refused || jsonb_build_object('person', v_row -> 'person', 'sqlstate', sqlstate);
        end;
    end loop;
end
$body$;
comment on function sync.take_given_consents is 'Has the EMS take restrictions; those that it refuses keep no other out.';

-- Has the EMS take what sync.weigh_consents gave (p_allows), or keeps all of it for a person.
create or replace function sync.settle_consents(
    p_target text, p_given jsonb, p_allows boolean, out changed bigint, out refused jsonb
)
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
begin
    if p_allows then
        select t.changed, t.refused into changed, refused from sync.take_given_consents(p_target, p_given) t;
        update sync.inbound_guard g set let_through = g.let_through + changed where g.target = p_target and g.what = 'consents';
        return;
    end if;
    changed := 0;
    refused := '[]';
    if not exists (select from sync.consent_held h where h.target = p_target and h.rejected_on is null) then
        insert into sync.guard_decision (target, decision, decided_by, deletes, by_type)
        values (p_target, 'tripped', 'guard', jsonb_array_length(p_given),
                jsonb_build_object('consent', jsonb_array_length(p_given)));
    end if;
    insert into sync.consent_held (target, person_id, subject, record, state, said_on)
    select p_target, x.person, x.subject::text, x.record, x.state, x.said_on
    from jsonb_to_recordset(p_given) as x (person bigint, subject jsonb, record text, state text, said_on timestamptz)
    order by x.person, x.subject::text, x.record
    on conflict (target, person_id, subject, record) do update set
        state = excluded.state, said_on = excluded.said_on, held_on = excluded.held_on, rejected_on = null;
end
$body$;
comment on function sync.settle_consents is 'Has the EMS take the restrictions of a page, or keeps them for a person.';

-- The restrictions that are held, and those that a person rejected (kept); `key` as in sync.held_now.
create or replace view sync.held_consent as
select h.target, h.person_id, h.subject, h.record, h.state, h.said_on, h.held_on, h.rejected_on is not null as kept,
       concat_ws(':', h.person_id, h.subject, h.record, h.state, extract(epoch from h.said_on), h.rejected_on is not null) as key
from sync.consent_held h;
comment on view sync.held_consent is 'Consents taken back at a remote that are held, and those whose taking back a person rejected (kept).';

-- A person decides about the restrictions that are held now: the EMS takes them (p_approves), as far as it was not told otherwise
-- since they were said, or they stay where they are and are not taken unless they change there. p_kept: an approval takes in what
-- was rejected earlier. p_seen, p_seen_kept: as in sync.guard_decide. `decided`: how many it concerned.
drop function if exists sync.decide_consents(text, boolean, boolean, text);
drop function if exists sync.decide_consents(text, boolean, boolean, text, text);
create or replace function sync.decide_consents(
    p_target text, p_approves boolean, p_kept boolean, p_by text, p_seen text default null, p_seen_kept text default null,
    out decided bigint, out changed bigint, out refused jsonb
)
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    v_open  text[];
    v_kept  text[];
    v_given jsonb;
    v_until timestamptz := sync.seen_until(p_seen);
    v_until_kept timestamptz := case when p_approves and p_kept then sync.seen_until(p_seen_kept) else '-infinity' end;
begin
    -- Under this lock none is added; what is lifted there meanwhile is locked row by row.
    perform 1 from sync.inbound_guard g where g.target = p_target and g.what = 'consents' for update;
    select coalesce(array_agg(h.key) filter (where not h.kept), '{}'), coalesce(array_agg(h.key) filter (where h.kept), '{}'),
           coalesce(jsonb_agg(jsonb_build_object(
               'person', h.person_id, 'subject', h.subject::jsonb, 'state', h.state, 'said_on', h.said_on)), '[]')
    into v_open, v_kept, v_given
    from (
        select h.key, h.person_id, h.subject, h.state, h.said_on, h.kept
        from sync.held_consent h
        where h.target = p_target and h.held_on <= case when h.kept then v_until_kept else v_until end
        order by h.person_id, h.subject, h.record
        for update
    ) h;
    perform sync.check_seen(v_open, p_seen);
    if p_approves and p_kept then
        perform sync.check_seen(v_kept, p_seen_kept);
    end if;
    decided := jsonb_array_length(v_given);
    changed := 0;
    refused := '[]';
    if decided = 0 then
        return;
    end if;
    if p_approves then
        select t.changed, t.refused into changed, refused from sync.take_given_consents(p_target, v_given) t;
        delete from sync.consent_held h
        where h.target = p_target and h.held_on <= case when h.rejected_on is null then v_until else v_until_kept end;
    else
        update sync.consent_held h set rejected_on = clock_timestamp()
        where h.target = p_target and h.rejected_on is null and h.held_on <= v_until;
    end if;
    insert into sync.guard_decision (target, decision, decided_by, deletes, by_type)
    values (p_target, case when p_approves then 'approved' else 'rejected' end, p_by, decided, jsonb_build_object('consent', decided));
end
$body$;
comment on function sync.decide_consents is 'A person approves or rejects the restrictions that are held now.';
