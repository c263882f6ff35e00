-- Makes and drops the daily partitions of the audit trail; $1 is how many days are kept.
select sync.keep_attempts($1)
