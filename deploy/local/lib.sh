# shellcheck shell=bash
# DIR and its like are set here and read by the scripts; the subshell that collects garbage means its own.
# shellcheck disable=SC2030,SC2031,SC2034
# Shared by with-services, up, down, ctl, supervise and toolchain. Sourced, never run.
#
# One instance = one directory:
#   instance            settings of this instance, sourced as shell
#   env                 KEY=value lines for the programs that use it
#   NAME.pid NAME.start process id, and boot id + start tick (so that a recycled pid is never killed)
#   ctl.fifo            requests to the supervisor, which is the parent of every server
#   pg/ amqp/ log/      data and logs
# The directory's own inode carries the lock (flock): no lock file can be left behind.

set -uo pipefail

LOCAL_BIN=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
PROJECT=$(cd "$LOCAL_BIN/../.." && pwd -P)
BASE=$PROJECT/target/local
TIMEOUT=${EMS_SYNC_LOCAL_TIMEOUT:-60}
DIR='' LOCKED='' RETRY_PORTS='' START=''
declare -A PIDS=() STARTS=()

# ---------------------------------------------------------------- messages and progress

say() { printf '[local] %s\n' "$*" >&2 || :; }

die() { # [-CODE] TEXT
  local code=1
  [[ $1 == -[0-9]* ]] && { code=${1#-}; shift; }
  progress_clear
  say "$*"
  exit "$code"
}

now_ms() { local t=${EPOCHREALTIME/[.,]/}; NOW=$((t / 1000)); }
seconds() { printf -v SECS '%d.%d s' $(($1 / 1000)) $(($1 % 1000 / 100)); }

PROGRESS_SHOWN=0
progress_clear() {
  ((PROGRESS_SHOWN)) && printf '\r\e[K' >&2
  PROGRESS_SHOWN=0
}

step_begin() { # NAME [quiet]; quiet: nothing stays on the screen when it is over
  STEP=$1 STEP_QUIET=${2:-}
  now_ms
  STEP_T0=$NOW STEP_SHOWN=0
  if [[ -t 2 ]]; then step_tick; elif [[ ! $STEP_QUIET ]]; then say "$STEP …"; fi
}

step_tick() {
  now_ms
  local s=$(((NOW - STEP_T0) / 1000))
  if [[ -t 2 ]]; then
    printf '\r\e[K[local] %s … %d s' "$STEP" "$s" >&2
    PROGRESS_SHOWN=1
  elif ((s >= STEP_SHOWN + 10)); then
    STEP_SHOWN=$s
    say "$STEP … $s s"
  fi
}

step_end() { # [TEXT]
  now_ms
  seconds $((NOW - STEP_T0))
  progress_clear
  [[ $STEP_QUIET ]] || say "${1:-$STEP} ($SECS)"
}

run_step() { # NAME LOG COMMAND…: runs COMMAND with a progress line, its output goes to LOG
  local log=$2 rc=0
  step_begin "$1"
  shift 2
  "$@" </dev/null >>"$log" 2>&1 9>&- &
  STEP_PID=$!
  while kill -0 "$STEP_PID" 2>/dev/null; do step_tick; sleep 0.1; done
  wait "$STEP_PID" || rc=$?
  STEP_PID=''
  if ((rc == 0)); then step_end; else progress_clear; fi
  return "$rc"
}

show_log() { # FILE…: what a server's log says last
  local f
  for f in "$@"; do
    [[ -s $f ]] || continue
    # RabbitMQ says what is wrong before it fails, and then prints a screenful of crash reports.
    if grep -q 'BOOT FAILED' "$f"; then
      say "from $f:"
      grep -m 1 -B 12 -A 6 'BOOT FAILED' "$f" | sed 's/^/    /' >&2
    else
      say "last lines of $f:"
      tail -n 25 "$f" | sed 's/^/    /' >&2
    fi
  done
}

# ---------------------------------------------------------------- processes

BOOT=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo unknown)

proc_start() { # PID: sets START, the tick it started at; fails when it is gone or a zombie
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  # The command name, in parentheses, may itself hold blanks and parentheses.
  # shellcheck disable=SC2086
  set -- ${stat##*) }
  [[ $1 != [ZX] ]] || return 1
  START=${20}
}

save_pid() { # NAME PID
  proc_start "$2" || START=gone
  PIDS[$1]=$2 STARTS[$1]="$BOOT $START"
  printf '%s %s\n' "$BOOT" "$START" >"$DIR/$1.start"
  printf '%s\n' "$2" >"$DIR/.$1.pid" && mv -f "$DIR/.$1.pid" "$DIR/$1.pid"
}

alive() { # NAME: sets PID; true when the very process that was recorded still runs
  local boot='' start=''
  PID=''
  if ! { read -r PID <"$DIR/$1.pid" && read -r boot start <"$DIR/$1.start"; } 2>/dev/null; then
    # The files went away with the directory; the supervisor still knows.
    PID=${PIDS[$1]:-}
    read -r boot start <<<"${STARTS[$1]:-}"
  fi
  [[ $PID && $boot == "$BOOT" ]] && proc_start "$PID" && [[ $START == "$start" ]]
}

wait_gone() { # NAME SECONDS
  local i
  for ((i = $2 * 20; i > 0; i--)); do
    alive "$1" || return 0
    ((i % 4)) || [[ ! ${STEP_T0:-} ]] || step_tick
    sleep 0.05
  done
  ! alive "$1"
}

send() { # NAME SIGNAL; CONT so that also a stopped process gets it
  alive "$1" || return 1
  kill -s "$2" "$PID" 2>/dev/null
  kill -s CONT "$PID" 2>/dev/null
}

pg_processes() { # sets FOUND: every Postgres process on this data directory, orphans too
  local p
  FOUND=()
  for p in /proc/[0-9]*; do
    [[ $p/cwd -ef $DIR/pg && $p/exe -ef $PG_BIN/postgres ]] && FOUND+=("${p#/proc/}")
  done
}

amqp_processes() { # sets FOUND: the broker and its port programs (they share its working directory)
  local p comm
  FOUND=()
  for p in /proc/[0-9]*; do
    [[ $p/cwd -ef $DIR/amqp ]] || continue
    { read -r comm <"$p/comm"; } 2>/dev/null || continue
    case $comm in beam* | erl_child_setup | inet_gethost | epmd | cpu_sup | memsup) FOUND+=("${p#/proc/}") ;; esac
  done
}

kill_found() { # FINDER: SIGKILL until it finds nothing
  local i
  for ((i = 0; i < 100; i++)); do
    "$1"
    ((${#FOUND[@]})) || return 0
    kill -KILL "${FOUND[@]}" 2>/dev/null
    sleep 0.05
  done
  return 1
}

as_user() { # USER SIGNAL COMMAND…: replaces this (sub)shell; SIGNAL comes when the parent dies
  local user=$1 signal=$2
  shift 2
  if [[ $user ]]; then
    exec setpriv --pdeathsig "$signal" --reuid="$user" --regid="$(id -g "$user")" --init-groups "$@"
  fi
  exec setpriv --pdeathsig "$signal" "$@"
}

# ---------------------------------------------------------------- finding and installing

find_postgres() { # sets PG_BIN PG_VERSION; PG_OLD: what was too old. Argument: wanted major
  local d v best=0
  PG_BIN='' PG_OLD=''
  local dirs=(/usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/local/pgsql/bin)
  v=$(command -v pg_config) && dirs+=("$("$v" --bindir 2>/dev/null)")
  v=$(command -v postgres) && dirs+=("$(dirname "$(readlink -f "$v")")")
  for d in "${dirs[@]}"; do
    [[ -x $d/postgres && -x $d/initdb && -x $d/pg_isready && -x $d/psql ]] || continue
    v=$("$d/postgres" --version 2>/dev/null) || continue
    v=${v##*PostgreSQL) } v=${v%% *}
    [[ $v =~ ^([0-9]+) ]] || continue
    if ((BASH_REMATCH[1] < 15)); then
      PG_OLD=$v
    elif [[ ${1:-} && ${1:-} != "${BASH_REMATCH[1]}" ]]; then
      continue
    elif ((BASH_REMATCH[1] > best)); then
      best=${BASH_REMATCH[1]} PG_BIN=$d PG_VERSION=$v
    fi
  done
  [[ $PG_BIN ]]
}

find_rabbitmq() { # sets RABBITMQ_SERVER RABBITMQ_VERSION EPMD
  local s v
  RABBITMQ_SERVER='' RABBITMQ_VERSION='' RABBITMQ_OLD='' EPMD=''
  # Not the wrapper in /usr/sbin: it changes to the system's user and the system's data directory.
  local list=(/usr/lib/rabbitmq/bin/rabbitmq-server /usr/lib/rabbitmq/lib/*/sbin/rabbitmq-server
    /opt/rabbitmq*/sbin/rabbitmq-server /usr/local/rabbitmq*/sbin/rabbitmq-server)
  s=$(command -v rabbitmq-server) && list+=("$s")
  for s in "${list[@]}"; do
    [[ -x $s ]] || continue
    s=$(readlink -f "$s")
    for v in "$(dirname "$s")"/../plugins/rabbit-[0-9]*; do
      [[ ${v##*/} =~ ^rabbit-([0-9]+)\.([0-9]+)([0-9.]*) ]] || continue
      v=${BASH_REMATCH[1]}.${BASH_REMATCH[2]}${BASH_REMATCH[3]}
      v=${v%.}
      if ((BASH_REMATCH[1] > 3 || (BASH_REMATCH[1] == 3 && BASH_REMATCH[2] >= 10))); then
        RABBITMQ_SERVER=$s RABBITMQ_VERSION=$v
        break 2
      fi
      RABBITMQ_OLD=$v
    done
  done
  [[ $RABBITMQ_SERVER ]] || return 1
  for v in "$(command -v epmd)" /usr/lib/erlang/bin/epmd /usr/lib/erlang/erts-*/bin/epmd \
    "$(erl -noshell -eval 'io:format("~s/bin/epmd",[code:root_dir()]),halt().' 2>/dev/null)"; do
    [[ -x $v ]] && { EPMD=$v && return 0; }
  done
  return 1
}

candidate() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | awk '/Candidate:/ && $2 != "(none)" { print $2 }'; }

POLICY=/usr/sbin/policy-rc.d
POLICY_MARK='# Written by the ems-sync local launcher for the time of one apt-get run; safe to remove.'
POLICY_OURS=0
policy_remove() {
  ((POLICY_OURS)) && rm -f "$POLICY"
  POLICY_OURS=0
}

apt_install() { # PACKAGE…: as root installs, otherwise says how
  local line="apt-get install -y --no-install-recommends $*"
  if ! command -v apt-get >/dev/null; then
    die -2 "missing: $*. There is no apt-get here: install by hand what these Debian packages hold (Postgres >= 15, RabbitMQ >= 3.10)."
  fi
  if ((EUID)); then
    say "missing: $*. Install with:"
    printf '    sudo apt-get update && sudo %s\n' "$line" >&2
    exit 2
  fi
  # Services must not be started by the installation: they would take 5432 and 5672.
  if [[ ! -e $POLICY && ! -L $POLICY ]] || grep -qF "$POLICY_MARK" "$POLICY" 2>/dev/null; then
    POLICY_OURS=1
    printf '#!/bin/sh\n%s\nexit 101\n' "$POLICY_MARK" >"$POLICY" && chmod 755 "$POLICY"
  fi
  if [[ " $* " == *' postgresql'* && ! -e /etc/postgresql-common/createcluster.conf ]]; then
    mkdir -p /etc/postgresql-common
    printf '%s\n' '# The ems-sync local launcher makes its own cluster; a "main" one is not needed.' \
      'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    chmod 644 /etc/postgresql-common/createcluster.conf
  fi
  local apt=(env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 NEEDRESTART_SUSPEND=1
    apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold)
  say "$line"
  now_ms
  local t0=$NOW rc=0
  "${apt[@]}" install -y --no-install-recommends --no-remove "$@" </dev/null >&2 || rc=$?
  policy_remove
  now_ms
  seconds $((NOW - t0))
  ((rc == 0)) || die "apt-get failed with code $rc after $SECS"
  say "installed: $* ($SECS)"
  if [[ -d /run/systemd/system && " $* " == *' rabbitmq-server '* ]]; then
    say 'their system services were not started; to keep it so after a reboot: systemctl disable rabbitmq-server epmd.socket'
  fi
}

need_packages() { # finds both servers, installs what is missing
  local missing=() v p
  # An installation made only for this launcher: one at a time on the machine, without a lock file.
  local locked=0
  while :; do
    missing=()
    find_postgres "${WANT_PG:-}" || missing+=(postgresql)
    find_rabbitmq || missing+=(rabbitmq-server)
    ((${#missing[@]})) || break
    if [[ ${WANT_PG:-} && ${missing[0]} == postgresql ]]; then
      find_postgres && die "the data in $DIR is of Postgres $WANT_PG, which is not installed (found: $PG_VERSION). Install postgresql-$WANT_PG, or remove the directory."
    fi
    [[ $PG_OLD && ${missing[0]} == postgresql ]] && say "Postgres $PG_OLD is too old, 15 is needed (https://www.postgresql.org/download/)"
    if [[ $RABBITMQ_OLD && ! $RABBITMQ_SERVER ]]; then
      # Upgrading a broker that may be in use here is not ours to do.
      die -2 "RabbitMQ $RABBITMQ_OLD is installed, 3.10 or newer is needed: see https://www.rabbitmq.com/docs/install-debian"
    fi
    if ((EUID == 0)) && command -v apt-get >/dev/null; then
      if ((!locked)); then
        step_begin 'wait for another installation' quiet
        exec 8</var/lib/dpkg
        until flock -n 8; do step_tick; sleep 0.5; done
        step_end
        locked=1
        continue
      fi
      say 'apt-get update'
      apt-get -o DPkg::Lock::Timeout=300 update </dev/null >&2 8>&- || say 'apt-get update failed, going on with the package lists there are'
      # A distribution's default may be too old although a newer package is offered.
      if [[ ${missing[0]} == postgresql ]]; then
        v=$(candidate postgresql) v=${v%%[!0-9]*}
        if ((${v:-0} < 15)); then
          missing=("${missing[@]:1}")
          for p in 18 17 16 15; do
            [[ $(candidate "postgresql-$p") ]] && { missing=("postgresql-$p" "${missing[@]}") && break; }
          done
          [[ ${missing[0]:-} == postgresql-* ]] || die -2 "this system offers only Postgres ${v:-none}, 15 is needed: see https://www.postgresql.org/download/"
        fi
      fi
      if [[ ${missing[-1]} == rabbitmq-server ]]; then
        v=$(candidate rabbitmq-server)
        if [[ ! $v ]] || dpkg --compare-versions "$v" lt 3.10; then
          die -2 "this system offers only RabbitMQ ${v:-none}, 3.10 is needed: see https://www.rabbitmq.com/docs/install-debian"
        fi
      fi
      # apt keeps the lock (fd 8): should this launcher be killed, apt goes on, and the next one waits for it.
      apt_install "${missing[@]}"
      find_postgres "${WANT_PG:-}" || die 'Postgres is still not found after the installation'
      find_rabbitmq || die 'RabbitMQ is still not found after the installation'
      break
    fi
    apt_install "${missing[@]}"
  done
  # One that an earlier run, killed in the middle, has left; a running installation holds the lock.
  if ((EUID == 0)) && grep -qsF "$POLICY_MARK" "$POLICY"; then
    ((locked)) || exec 8</var/lib/dpkg
    if flock -n 8; then rm -f "$POLICY"; fi
    locked=1
  fi
  ((locked)) && exec 8<&-
  PG_USER='' AMQP_USER=''
  if ((EUID == 0)); then
    # Neither server should run as root; Postgres refuses to.
    id postgres >/dev/null 2>&1 || die -2 'there is no user "postgres" to run Postgres as; run this as an ordinary user'
    PG_USER=postgres
    if id rabbitmq >/dev/null 2>&1; then AMQP_USER=rabbitmq; else AMQP_USER=postgres; fi
  fi
}

# ---------------------------------------------------------------- the instance directory

INSTANCE_VARS=(NAME EPHEMERAL POINTER PG_BIN PG_VERSION PG_USER PG_PORT RABBITMQ_SERVER RABBITMQ_VERSION EPMD
  AMQP_USER AMQP_PORT MANAGEMENT_PORT PROMETHEUS_PORT DIST_PORT EPMD_PORT STARTED_BOOT)

write_instance() {
  local v STARTED_BOOT=$BOOT
  for v in "${INSTANCE_VARS[@]}"; do printf '%s=%q\n' "$v" "${!v:-}"; done >"$DIR/.instance"
  mv -f "$DIR/.instance" "$DIR/instance"
}

started_this_boot() { grep -qsF "STARTED_BOOT=$BOOT" "$DIR/instance"; }

load_instance() { # DIR
  DIR=$1
  [[ -r $DIR/instance ]] || return 1
  # shellcheck disable=SC1091
  . "$DIR/instance"
}

usable() { # DIR: the servers' users can reach it and its name is plain enough for their scripts
  local u
  [[ $1 =~ ^[A-Za-z0-9_./@,:+=-]+$ ]] || return 1
  for u in $PG_USER $AMQP_USER; do
    (as_user "$u" TERM test -x "$1") 2>/dev/null || return 1
  done
}

make_outside() { # a data directory outside the project; sets DIR and leaves a pointer under target/local
  local t
  for t in ${TMPDIR:+"$TMPDIR"} /var/tmp /tmp; do
    DIR=$(mktemp -d "${t%/}/ems-sync-local.XXXXXX" 2>/dev/null) || continue
    chmod 755 "$DIR"
    usable "$DIR" && break
    rmdir "$DIR"
    DIR=''
  done
  [[ $DIR ]] || die 'no directory that the servers could use: set TMPDIR to one that every user may enter'
  if [[ $POINTER ]]; then ln -sfn "$DIR" "$POINTER"; fi
}

lock_dir() { # takes fd 9; fails when somebody has it
  LOCKED=''
  exec 9<"$DIR" || return 1
  flock -n 9 || { exec 9<&-; return 1; }
  # Removed by its last owner between opening and locking.
  [[ $DIR -ef /proc/self/fd/9 ]] || { exec 9<&-; return 1; }
  LOCKED=1
}

open_dir() { # NAME ('': one for this process) KEEP: sets DIR NAME POINTER EPHEMERAL, holds the lock
  local keep=$2 n=0
  NAME=$1 POINTER='' EPHEMERAL=''
  mkdir -p "$BASE" 2>/dev/null
  if [[ $NAME ]]; then
    [[ $NAME =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] || die -2 "a name has letters, digits, dot, dash and underscore: $NAME"
    DIR=$BASE/$NAME
    [[ -L $DIR && ! -e $DIR ]] && rm -f "$DIR"
    if [[ -L $DIR ]]; then
      POINTER=$DIR DIR=$(readlink -f "$DIR")
    elif ! mkdir "$DIR" 2>/dev/null && [[ ! -d $DIR ]]; then
      die "cannot create $DIR"
    elif ! usable "$DIR"; then
      [[ -e $DIR/instance ]] && die "$DIR: the servers' users cannot enter it"
      rmdir "$DIR" || die "$DIR: the servers' users cannot enter it"
      POINTER=$DIR
      make_outside
    fi
    [[ -O $DIR ]] || die "$DIR belongs to user $(stat -c %U "$DIR"): run as that user or remove it"
    lock_dir || die "the instance \"$NAME\" is in use ($DIR)"
    # Since the ephemeral mark may be of an older, killed run.
    rm -f "$DIR/ephemeral"
  else
    NAME=$$
    if [[ -w $BASE ]]; then
      until mkdir "$BASE/$NAME" 2>/dev/null; do ((++n < 100)) || die "cannot create a directory in $BASE"; NAME=$$-$n; done
      DIR=$BASE/$NAME
      if ! usable "$DIR"; then
        rmdir "$DIR"
        POINTER=$DIR
        make_outside
      fi
    else
      make_outside
    fi
    lock_dir || die "cannot lock $DIR"
    if [[ ! $keep ]]; then EPHEMERAL=1; : >"$DIR/ephemeral"; fi
  fi
  chmod 755 "$DIR"
}

remove_dir() { # the data and its pointer
  local i
  for i in 1 2 3; do
    rm -rf -- "$DIR" 2>/dev/null
    [[ -e $DIR ]] || break
    sleep 0.3
  done
  [[ $POINTER && -L $POINTER ]] && rm -f -- "$POINTER"
  [[ ! -e $DIR ]]
}

collect_garbage() { # throw-away directories of launchers that were killed together with their supervisor
  local mark
  for mark in "$BASE"/*/ephemeral; do
    [[ -e $mark ]] || continue
    (
      trap - EXIT
      POINTER='' DIR=${mark%/ephemeral}
      [[ -O $DIR ]] || exit 0
      [[ -L $DIR ]] && { POINTER=$DIR && DIR=$(readlink -f "$DIR"); }
      exec 9<&-
      lock_dir || exit 0
      [[ -e $DIR/ephemeral ]] || exit 0
      if load_instance "$DIR"; then stop_all 2 >/dev/null 2>&1; fi
      remove_dir && say "removed what a killed launcher had left: $DIR"
    )
  done
}

port_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

pick_ports() { # below the ephemeral range, so that no outgoing connection sits on one
  local i p base
  for ((i = 0; i < 200; i++)); do
    # Aligned blocks: two launchers meet either on all ports or on none.
    base=$((20000 + (${SRANDOM:-$((RANDOM << 15 | RANDOM))} % 1500) * 8))
    for ((p = base; p < base + 6; p++)); do port_free "$p" || continue 2; done
    set_ports "$base"
    return
  done
  die 'no free ports found between 20000 and 31999'
}

set_ports() {
  PG_PORT=$1 AMQP_PORT=$(($1 + 1)) MANAGEMENT_PORT=$(($1 + 2)) PROMETHEUS_PORT=$(($1 + 3))
  DIST_PORT=$(($1 + 4)) EPMD_PORT=$(($1 + 5))
}

same_ports() { # a named instance keeps its addresses when they are free
  local p
  [[ ${PG_PORT:-} ]] || return 1
  for ((p = PG_PORT; p < PG_PORT + 6; p++)); do port_free "$p" || return 1; done
  set_ports "$PG_PORT"
}

owned_dir() { # USER DIR
  [[ -d $2 ]] || install -d -m 700 ${1:+-o "$1" -g "$(id -g "$1")"} "$2"
}

write_configuration() {
  local f
  owned_dir "$PG_USER" "$DIR/pg"
  owned_dir "$AMQP_USER" "$DIR/amqp"
  for f in home data log conf.d; do owned_dir "$AMQP_USER" "$DIR/amqp/$f"; done
  mkdir -p "$DIR/log"
  # The system's own configuration in /etc must not leak in: every file RabbitMQ would look for is named.
  # RabbitMQ before 4 reserves three file handles for each quorum queue, which it never opens: with 20,000 allowed no client gets in
  # any more once tests have made 6,600 queues. What it counts is no limit here; the system's own stays.
  printf '[{rabbit, [{file_handles_high_watermark, 1000000}]}].\n' >"$DIR/amqp/advanced.config"
  printf '[rabbitmq_management,rabbitmq_prometheus].\n' >"$DIR/amqp/enabled_plugins"
  cat >"$DIR/amqp/rabbitmq.conf" <<END
listeners.tcp.1 = 127.0.0.1:$AMQP_PORT
distribution.listener.interface = 127.0.0.1
management.tcp.ip = 127.0.0.1
management.tcp.port = $MANAGEMENT_PORT
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = $PROMETHEUS_PORT
default_vhost = /
default_user = ems
default_pass = ems
log.console = false
disk_free_limit.absolute = 50MB
END
  if [[ $AMQP_USER ]]; then chown "$AMQP_USER:" "$DIR"/amqp/{advanced.config,enabled_plugins,rabbitmq.conf}; fi
}

write_pg_configuration() { # after initdb; a file of its own, so that ALTER SYSTEM still wins
  grep -qs '^include_if_exists.*ems-sync-local' "$DIR/pg/postgresql.conf" ||
    printf "include_if_exists = 'ems-sync-local.conf'\n" >>"$DIR/pg/postgresql.conf"
  cat >"$DIR/pg/ems-sync-local.conf" <<'END'
listen_addresses = '127.0.0.1'
# No socket file: a deep project path would be longer than a socket address may be.
unix_socket_directories = ''
max_connections = 300
shared_buffers = 256MB
max_locks_per_transaction = 256
max_prepared_transactions = 0
fsync = on
synchronous_commit = on
full_page_writes = on
timezone = 'UTC'
log_timezone = 'UTC'
log_destination = 'stderr'
logging_collector = off
log_line_prefix = '%m [%p] %q%u@%d '
# In the data directory, so that kill -9 leaves nothing in /dev/shm.
dynamic_shared_memory_type = mmap
END
  if [[ $PG_USER ]]; then chown "$PG_USER:" "$DIR/pg/ems-sync-local.conf"; fi
}

ENV_KEYS=(DIR DATABASE_URL AMQP_URL MANAGEMENT_URL PROMETHEUS_URL PG_PORT AMQP_PORT PG_BIN PG_PID AMQP_PID CTL)
write_env() { # exports too
  local k n
  alive pg && EMS_SYNC_LOCAL_PG_PID=$PID
  alive amqp && EMS_SYNC_LOCAL_AMQP_PID=$PID
  EMS_SYNC_LOCAL_DIR=$DIR
  EMS_SYNC_LOCAL_DATABASE_URL=postgres://sync@127.0.0.1:$PG_PORT/ems
  EMS_SYNC_LOCAL_AMQP_URL=amqp://ems:ems@127.0.0.1:$AMQP_PORT/%2f
  EMS_SYNC_LOCAL_MANAGEMENT_URL=http://127.0.0.1:$MANAGEMENT_PORT
  EMS_SYNC_LOCAL_PROMETHEUS_URL=http://127.0.0.1:$PROMETHEUS_PORT
  EMS_SYNC_LOCAL_PG_PORT=$PG_PORT
  EMS_SYNC_LOCAL_AMQP_PORT=$AMQP_PORT
  EMS_SYNC_LOCAL_PG_BIN=$PG_BIN
  EMS_SYNC_LOCAL_CTL=$LOCAL_BIN/ctl
  for k in "${ENV_KEYS[@]}"; do
    n=EMS_SYNC_LOCAL_$k
    # shellcheck disable=SC2163
    export "$n"
    printf '%s=%s\n' "$n" "${!n:-}"
  done >"$DIR/.env"
  mv -f "$DIR/.env" "$DIR/env"
}

# ---------------------------------------------------------------- starting (the exec_* ones: in the supervisor only)

exec_pg() { as_user "$PG_USER" INT env -i PATH="$PATH" LC_ALL=C.UTF-8 TZ=UTC "$PG_BIN/postgres" -D "$DIR/pg" -p "$PG_PORT"; }

exec_epmd() {
  cd "$DIR/amqp" || exit 1
  # In the foreground and ours: otherwise the broker leaves a daemon behind.
  as_user "$AMQP_USER" TERM env -i PATH="$PATH" "$EPMD" -port "$EPMD_PORT" -address 127.0.0.1
}

exec_amqp() {
  cd "$DIR/amqp" || exit 1
  # RUNNING_UNDER_SYSTEMD: the script replaces itself, so its pid becomes the broker's.
  # -shutdown_time: the broker is down at once, but the idle Erlang VM would take 6 s.
  # +sbwt none: no busy waiting, several brokers share few cores.
  as_user "$AMQP_USER" TERM env -i PATH="$PATH" LC_ALL=C.UTF-8 TZ=UTC HOME="$DIR/amqp/home" \
    ERL_EPMD_PORT="$EPMD_PORT" ERL_EPMD_ADDRESS=127.0.0.1 \
    RABBITMQ_NODENAME=ems@localhost RABBITMQ_DIST_PORT="$DIST_PORT" RABBITMQ_CONF_ENV_FILE=/dev/null \
    RABBITMQ_CONFIG_FILE="$DIR/amqp/rabbitmq.conf" RABBITMQ_CONFIG_FILES="$DIR/amqp/conf.d" \
    RABBITMQ_ADVANCED_CONFIG_FILE="$DIR/amqp/advanced.config" \
    RABBITMQ_ENABLED_PLUGINS_FILE="$DIR/amqp/enabled_plugins" \
    RABBITMQ_MNESIA_BASE="$DIR/amqp/data" RABBITMQ_LOG_BASE="$DIR/amqp/log" \
    RABBITMQ_LOGS="$DIR/amqp/log/rabbitmq.log" RABBITMQ_PID_FILE="$DIR/amqp/data/rabbitmq.pid" \
    RUNNING_UNDER_SYSTEMD=1 \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-shutdown_time 3000 +sbwt none +sbwtdcpu none +sbwtdio none' \
    "$RABBITMQ_SERVER"
}

spawn() { # NAME: asks the supervisor for the process, so that it has the right parent
  local i
  alive supervisor || { say 'the supervisor of this instance does not run'; return 1; }
  rm -f "$DIR/$1.pid"
  printf 'start %s\n' "$1" 1<>"$DIR/ctl.fifo"
  # Seconds on a machine that is busy with other instances.
  for ((i = 0; i < 1200; i++)); do
    [[ -s $DIR/$1.pid ]] && return 0
    alive supervisor || break
    sleep 0.05
  done
  say "the supervisor did not start $1"
  show_log "$DIR/log/supervisor.log"
  return 1
}

psql_local() { env -i PATH="$PATH" LC_ALL=C.UTF-8 "$PG_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$PG_PORT" -U sync "$@" </dev/null; }

pg_ready() { env -i "$PG_BIN/pg_isready" -q -t 2 -h 127.0.0.1 -p "$PG_PORT" -U sync -d postgres >/dev/null 2>&1; }

amqp_ready() {
  # In a process with a time limit: connecting has none, and somebody else may sit on the port.
  # shellcheck disable=SC2016
  timeout --foreground 6 bash -c '
    exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
    printf "AMQP\x00\x00\x09\x01" >&3
    # The broker greets with a method frame, type 1.
    IFS= read -r -N 1 -t 2 -u 3 byte && [[ $byte == $'"'\\x01'"' ]] || exit 1
    exec 3<>"/dev/tcp/127.0.0.1/$2" || exit 1
    # ZW1zOmVtcw== is ems:ems
    printf "GET /api/health/checks/local-alarms HTTP/1.0\r\nHost: localhost\r\nAuthorization: Basic ZW1zOmVtcw==\r\n\r\n" >&3
    IFS= read -r -t 3 -u 3 line && [[ $line == HTTP/1.?" 200"* ]]
  ' _ "$AMQP_PORT" "$MANAGEMENT_PORT" 2>/dev/null
}

wait_ready() { # NAME TITLE PROBE LOG…; a progress line must have been begun
  local name=$1 title=$2 probe=$3 why=''
  shift 3
  while [[ ! $why ]]; do
    if ! alive "$name"; then
      why="$title ended instead of starting"
    elif "$probe" && alive "$name"; then
      return 0
    else
      step_tick
      ((NOW - STEP_T0 < TIMEOUT * 1000)) || why="$title is not ready after $TIMEOUT s"
      sleep 0.1
    fi
  done
  progress_clear
  [[ $RETRY_PORTS ]] && port_conflict && return 1
  say "$why"
  show_log "$@"
  return 1
}

port_conflict() { # epmd ends without a word when its port is taken
  ! alive epmd || grep -qiE 'eaddrinuse|address already in use|dist_port_already_used' "$DIR"/log/*.log "$DIR"/amqp/log/*.log 2>/dev/null
}

wait_pg_ready() { wait_ready pg "Postgres $PG_VERSION" pg_ready "$DIR/log/postgres.log"; }
wait_amqp_ready() { wait_ready amqp "RabbitMQ $RABBITMQ_VERSION" amqp_ready "$DIR/log/rabbitmq-console.log" "$DIR/amqp/log/rabbitmq.log"; }

clear_logs() {
  local f
  for f in "$DIR"/log/{postgres,rabbitmq-console,epmd}.log "$DIR/amqp/log/rabbitmq.log"; do [[ -e $f ]] && : >"$f"; done
  return 0
}

start_supervisor() { # detached: it outlives this process
  local i wrap=(setpriv --pdeathsig TERM) parent=$$
  [[ ${1:-} ]] && wrap=() parent=0
  rm -f "$DIR"/{supervisor,pg,amqp,epmd}.{pid,start} "$DIR/ctl.fifo"
  mkfifo -m 600 "$DIR/ctl.fifo" || die "cannot create $DIR/ctl.fifo"
  # A session of its own: the terminal's Ctrl-C is for COMMAND, not for the servers. It keeps the lock (fd 9).
  "${wrap[@]}" setsid "$LOCAL_BIN/supervise" "$DIR" "$parent" </dev/null >"$DIR/log/supervisor.log" 2>&1 &
  SUPERVISOR=$!
  for ((i = 0; i < 100; i++)); do
    alive supervisor && { PIDS[supervisor]=$PID STARTS[supervisor]="$BOOT $START" && return 0; }
    kill -0 "$SUPERVISOR" 2>/dev/null || break
    sleep 0.05
  done
  show_log "$DIR/log/supervisor.log"
  die 'the supervisor does not start'
}

start_servers() {
  local rc
  spawn epmd && spawn amqp || return 1
  # initdb while the broker boots: it takes by far the longest.
  now_ms
  local amqp_t0=$NOW
  if [[ ! -e $DIR/pg/PG_VERSION ]]; then
    run_step "Postgres $PG_VERSION: create the data directory" "$DIR/log/initdb.log" \
      as_user "$PG_USER" TERM env -i PATH="$PATH" LC_ALL=C.UTF-8 "$PG_BIN/initdb" -D "$DIR/pg" -U sync -A trust -E UTF8 --locale=C.UTF-8 --no-sync || {
      say "initdb failed"
      show_log "$DIR/log/initdb.log"
      return 1
    }
  fi
  write_pg_configuration
  step_begin "Postgres $PG_VERSION: start"
  spawn pg && wait_pg_ready || return 1
  rc=$(psql_local -d postgres -c "select count(*) from pg_database where datname = 'ems'" 2>&1)
  if [[ $rc == 0 ]]; then
    psql_local -d postgres -c 'create database ems' >>"$DIR/log/initdb.log" 2>&1 || {
      progress_clear
      say 'cannot create the database ems'
      show_log "$DIR/log/initdb.log" "$DIR/log/postgres.log"
      return 1
    }
  elif [[ $rc != 1 ]]; then
    progress_clear
    say "Postgres does not answer: $rc"
    return 1
  fi
  step_end "Postgres $PG_VERSION is ready on 127.0.0.1:$PG_PORT"
  step_begin "RabbitMQ $RABBITMQ_VERSION: start"
  STEP_T0=$amqp_t0
  wait_amqp_ready || return 1
  step_end "RabbitMQ $RABBITMQ_VERSION is ready on 127.0.0.1:$AMQP_PORT"
}

start_instance() { # NAME KEEP [detached]
  local try old
  [[ $(uname -s) == Linux ]] || die -2 'this launcher needs Linux; elsewhere use "docker compose up"'
  for try in setpriv flock setsid awk; do
    command -v "$try" >/dev/null || die -2 "missing: $try"
  done
  WANT_PG=''
  if [[ $1 && -r $BASE/$1/instance ]]; then
    # The data of a named instance decide the version of Postgres.
    DIR=$BASE/$1
    WANT_PG=$(awk -F= '$1 == "PG_VERSION" { sub(/[^0-9].*/, "", $2); print $2 }' "$DIR/instance")
  fi
  need_packages
  DIR=''
  open_dir "$1" "$2"
  collect_garbage
  if [[ -e $DIR/instance ]]; then
    # shellcheck disable=SC1091
    old=$(PG_PORT='' && . "$DIR/instance" && echo "$PG_PORT")
    PG_PORT=$old
    # Whatever an earlier run left alive on these data.
    stop_all 5
    if [[ -e $DIR/pg/postmaster.pid ]] && ! started_this_boot; then
      # From before a reboot: the pid in it may by now be of another program.
      rm -f "$DIR/pg/postmaster.pid"
    fi
    # A data directory whose creation was interrupted.
    [[ -e $DIR/pg/PG_VERSION && ! -e $DIR/complete ]] && rm -rf "$DIR/pg"
  fi
  RETRY_PORTS=1
  for try in 1 2 3; do
    if ((try > 1)) || ! same_ports; then pick_ports; fi
    write_configuration
    write_instance
    clear_logs
    ((try > 1)) || start_supervisor "${3:-}"
    if start_servers; then
      : >"$DIR/complete"
      write_env
      return 0
    fi
    if ! port_conflict; then
      # A broker that is still booting does not listen to SIGTERM.
      stop_all 1
      return 1
    fi
    progress_clear
    say 'a port was taken in the meantime, trying others'
    stop_all 1
  done
  return 1
}

describe() {
  say "Postgres $PG_VERSION   127.0.0.1:$PG_PORT, database ems, user sync (pid $EMS_SYNC_LOCAL_PG_PID)"
  say "RabbitMQ $RABBITMQ_VERSION   127.0.0.1:$AMQP_PORT, management http://127.0.0.1:$MANAGEMENT_PORT, user and password ems (pid $EMS_SYNC_LOCAL_AMQP_PID)"
  say "data        $DIR${EPHEMERAL:+ (removed at the end)}"
}

# ---------------------------------------------------------------- stopping

stop_pg() {
  # SIGINT is the fast shutdown; SIGTERM would wait for the clients.
  if send pg INT && ! wait_gone pg 20; then
    send pg QUIT
    wait_gone pg 6 || :
  fi
  # Left over: what initdb had started, or the backends of a postmaster that was killed.
  pg_processes
  if ((${#FOUND[@]})); then
    kill -TERM "${FOUND[@]}" 2>/dev/null
    sleep 0.3
  fi
  kill_found pg_processes
}

kill_pg() { # as a power cut: the postmaster first, then every backend
  # Until it has gone, a start would take it for alive.
  send pg KILL && wait_gone pg 5
  kill_found pg_processes
}

stop_amqp() { # SECONDS
  send amqp TERM
  finish_amqp "$1"
}

finish_amqp() { # SECONDS
  wait_gone amqp "$1" || { send amqp KILL && wait_gone amqp 5; }
  # Its port programs end by themselves when the broker is gone; give them the time.
  local i epmd='' left
  alive epmd && epmd=$PID
  for ((i = 0; i < 40; i++)); do
    amqp_processes
    left=${FOUND[*]}
    [[ ! $left || $left == "$epmd" ]] && return 0
    sleep 0.05
  done
  for i in "${FOUND[@]}"; do [[ $i == "$epmd" ]] || kill -KILL "$i" 2>/dev/null; done
  ! alive amqp
}

remove_ipc() { # the System V segment of a Postgres that was killed
  local id
  [[ -e $DIR/pg/postmaster.pid ]] && started_this_boot || return 0
  id=$(awk 'NR == 7 { print $2 }' "$DIR/pg/postmaster.pid" 2>/dev/null)
  [[ $id =~ ^[0-9]+$ ]] && command -v ipcrm >/dev/null && ipcrm -m "$id" 2>/dev/null
  return 0
}

stop_all() { # GRACE for the broker: whatever the pid files say, in the order broker, Postgres, epmd
  send amqp TERM
  send pg INT
  finish_amqp "$1"
  stop_pg
  if send epmd TERM; then wait_gone epmd 2 || send epmd KILL; fi
  kill_found amqp_processes
  remove_ipc
}

stop_instance() { # stops the supervisor, which stops the servers; does its work if it cannot
  [[ $DIR && -d $DIR ]] || return 0
  if alive supervisor; then
    # Its files may go before it does.
    PIDS[supervisor]=$PID STARTS[supervisor]="$BOOT $START"
    step_begin 'stop' quiet
    send supervisor TERM
    wait_gone supervisor 60 || send supervisor KILL
    progress_clear
  fi
  # After a supervisor that was itself killed there is still something to do.
  [[ -d $DIR ]] || return 0
  if [[ -e $DIR/instance ]] && load_instance "$DIR"; then stop_all 2; fi
  rm -f "$DIR"/{supervisor,pg,amqp,epmd}.{pid,start} "$DIR/ctl.fifo" "$DIR/env"
  if [[ $EPHEMERAL ]]; then remove_dir || say "could not remove $DIR"; fi
}
