-- test: nobody sleeps: nothing is notified, the lock is shared until the transaction ends
-- expect 0: Asynchronous notification
listen ems_sync_outbox;
begin;
update ems.person set city = 'x' where id = 1;
update ems.person set city = 'y' where id = 1;
select test.equal(string_agg(classid || ' ' || objid || ' ' || mode, ','), '4541779 1 ShareLock') from pg_locks
 where locktype = 'advisory' and pid = pg_backend_pid();
commit;
select test.equal(count(*)::text, '0') from pg_locks where locktype = 'advisory' and pid = pg_backend_pid();

-- test: somebody sleeps: one notification for a transaction, without payload
-- needs: no two-phase
-- meanwhile: select pg_advisory_xact_lock(4541779, 1)
-- expect 1: Asynchronous notification
-- expect 0: payload
listen ems_sync_outbox;
begin;
update ems.person set city = 'x' where id = 1;
update ems.tag set barcode = 'x';
do $$ begin for i in 1..200 loop update ems.person set city = i::text where id = 1; end loop; end $$;
commit;
select test.equal(count(*)::text, '202') from sync.outbox;

-- test: a bulk statement notifies once
-- needs: no two-phase
-- meanwhile: select pg_advisory_xact_lock(4541779, 1)
-- expect 1: Asynchronous notification
listen ems_sync_outbox;
insert into ems.person (first_name, last_name) select 'a', 'b' from generate_series(1, 100000);

-- test: no notification for what changed nothing or was rolled back
-- needs: no two-phase
-- meanwhile: select pg_advisory_xact_lock(4541779, 1)
-- expect 0: Asynchronous notification
listen ems_sync_outbox;
update ems.person set city = city;
begin;
update ems.person set city = 'x';
rollback;
begin;
savepoint a;
update ems.person set city = 'x';
rollback to a;
commit;

-- test: the notification of a rolled back savepoint is made up for
-- needs: no two-phase
-- meanwhile: select pg_advisory_xact_lock(4541779, 1)
-- expect 1: Asynchronous notification
listen ems_sync_outbox;
begin;
savepoint a;
update ems.person set city = 'x' where id = 1;
rollback to a;
update ems.person set city = 'y' where id = 1;
commit;
select test.captures('person 1 update');

-- test: a statement that changed nothing does not stand for a later one
-- needs: no two-phase
-- meanwhile: select pg_advisory_xact_lock(4541779, 1)
-- expect 1: Asynchronous notification
listen ems_sync_outbox;
begin;
update ems.person set city = city;
update ems.person set city = 'x' where id = 1;
commit;

-- test: the share of a rolled back savepoint is taken again
begin;
savepoint a;
update ems.person set city = 'x' where id = 1;
rollback to a;
select test.equal(count(*)::text, '0') from pg_locks where locktype = 'advisory' and pid = pg_backend_pid();
update ems.person set city = 'y' where id = 1;
select test.equal(count(*)::text, '1') from pg_locks where locktype = 'advisory' and pid = pg_backend_pid();
commit;

-- test: a truncation notifies
-- needs: no two-phase
-- meanwhile: select pg_advisory_xact_lock(4541779, 1)
-- expect 1: Asynchronous notification
listen ems_sync_outbox;
truncate ems.contact_preference;

-- test: a transaction can be prepared though somebody sleeps; nothing is notified then
-- needs: two-phase
-- meanwhile: select pg_advisory_xact_lock(4541779, 1)
-- expect 0: Asynchronous notification
listen ems_sync_outbox;
begin;
update ems.person set city = 'x' where id = 1;
prepare transaction 'ems_sync_test_asleep';
commit prepared 'ems_sync_test_asleep';
select test.captures('person 1 update');

-- test: a prepared transaction keeps the sleeper awake
-- needs: two-phase
begin;
update ems.person set city = 'x' where id = 1;
prepare transaction 'ems_sync_test_awake';
select test.equal(pg_try_advisory_lock(4541779, 1)::text, 'false');
commit prepared 'ems_sync_test_awake';
select test.equal(pg_try_advisory_lock(4541779, 1)::text, 'true');
select test.captures('person 1 update');
