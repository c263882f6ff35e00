-- Raises the epoch unless it was raised within $1 seconds, and above $2 in any case.
update sync.epoch set
    epoch     = greatest(epoch, $2) + 1,
    raised_on = clock_timestamp()
where raised_on <= clock_timestamp() - $1 * interval '1 second' or epoch < $2
