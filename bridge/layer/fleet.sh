#!/usr/bin/env bash
# A fleet on one machine, to try it: a Redis with two replicas and three Sentinels, two relays, and the Django server of bridge/django with
# the worker that stores what came through the relays. Everything listens on loopback. Ctrl-C ends it all.
#
#   bridge/layer/fleet.sh [DIRECTORY]   data and logs; by default a new directory, removed at the end
#
# On Debian:  apt install --no-install-recommends redis-server python3-django python3-django-channels daphne python3-channels-redis
# Variables:  GPSBRIDGE  the program (default gpsbridge)
#             KIND       core or pubsub: the channel layer (default core)
#             PORT       the nine ports after it are used (default 7000)
set -euo pipefail
gpsbridge=$(command -v "${GPSBRIDGE:-gpsbridge}") || { echo "no program ${GPSBRIDGE:-gpsbridge}: name it in GPSBRIDGE" >&2; exit 1; }
gpsbridge=$(realpath "$gpsbridge") kind=${KIND:-core} port=${PORT:-7000}
django=$(cd "$(dirname "$0")/../django" && pwd)
if [[ -n ${1:-} ]]; then
  mkdir -p "$1" && dir=$(cd "$1" && pwd)
else
  dir=$(mktemp -d) temporary=$dir
fi
end() {
  trap '' EXIT INT TERM
  for process in $(jobs -p); do kill "$process" 2>/dev/null || true; done
  wait
  rm -rf "${temporary:-}"
}
trap end EXIT
trap 'exit 0' INT TERM

# begin starts a program in the background with its log. It ends with this script, however that ends.
begin() {
  local name=$1
  shift
  (cd "$django" && exec setpriv --pdeathsig TERM "$@") >"$dir/$name.log" 2>&1 </dev/null &
}

for ((i = 1; i <= 9; i++)); do
  if (: <"/dev/tcp/127.0.0.1/$((port + i))") 2>/dev/null; then
    echo "port $((port + i)) is in use: choose others with PORT" >&2
    exit 1
  fi
done

# listening waits until the program that began last listens on a port.
listening() {
  until (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do
    kill -0 $! 2>/dev/null || { tail -n 3 "$dir"/*.log >&2; echo "nothing listens on port $1: see above" >&2; exit 1; }
    sleep 0.1
  done
}

# Three Redis, the first of them the master for now.
for i in 1 2 3; do
  mkdir -p "$dir/redis$i"
  cat >"$dir/redis$i.conf" <<EOF
bind 127.0.0.1
port $((port + i))
dir $dir/redis$i
appendonly yes
maxmemory-policy noeviction
replica-priority 100
repl-diskless-sync-delay 0
EOF
  ((i == 1)) || echo "replicaof 127.0.0.1 $((port + 1))" >>"$dir/redis$i.conf"
  begin "redis$i" redis-server "$dir/redis$i.conf"
  listening $((port + i))
done

# A fix is acknowledged when a replica has it.
until [[ $(redis-cli -p $((port + 1)) info replication | grep -c state=online) == 2 ]]; do sleep 0.1; done

# Three Sentinels, which make another one the master when it is gone.
for i in 1 2 3; do
  cat >"$dir/sentinel$i.conf" <<EOF
bind 127.0.0.1
port $((port + 3 + i))
dir $dir
sentinel monitor tracking 127.0.0.1 $((port + 1)) 2
sentinel down-after-milliseconds tracking 3000
sentinel failover-timeout tracking 10000
EOF
  begin "sentinel$i" redis-server "$dir/sentinel$i.conf" --sentinel
  listening $((port + 3 + i))
done
layer=redis-sentinel://127.0.0.1:$((port + 4)),127.0.0.1:$((port + 5)),127.0.0.1:$((port + 6))/tracking

# Django, unchanged: Daphne, whose pages and trackers need no login here, and the worker.
export TRACKING_REDIS_URL=$layer TRACKING_LAYER=$kind TRACKING_DATA=$dir/django TRACKING_CONSUMER=tracking.consumers.TrackingConsumer
export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
python=/usr/bin/python3
[[ -x $python ]] || python=python3
begin daphne "$python" "$django/manage.py" serve --port $((port + 7))
listening $((port + 7))
begin worker "$python" "$django/manage.py" store_fixes

# Two relays.
for i in 1 2; do
  cat >"$dir/relay$i.toml" <<EOF
[relay]
listen = "127.0.0.1:$((port + 7 + i))"
publish_token_file = "$dir/token"
[relay.layer]
url = "$layer"
kind = "$kind"
event = "gps.message" # as bridge/django sends it; see its consumers.py
field = "message"
EOF
  begin "relay$i" "$gpsbridge" relay -c "$dir/relay$i.toml"
  listening $((port + 7 + i))
done

cat <<EOF
A fleet is running; its files and logs are in $dir. Try in other terminals:

  a vehicle that sends to the first relay:
    GPSBRIDGE_TOKEN_FILE=$dir/token $gpsbridge run --device sim:?rate=1 --device-id van_7 --server ws://127.0.0.1:$((port + 8)) --listen 127.0.0.1:0
  what viewers see of it at the second relay, and at Django:
    $gpsbridge watch ws://127.0.0.1:$((port + 9))/ws/gps-tracking/van_7/
    $gpsbridge watch ws://127.0.0.1:$((port + 7))/ws/gps-tracking/van_7/
    http://127.0.0.1:$((port + 9))/   in a browser
  what is in the database:
    TRACKING_DATA=$dir/django $python $django/manage.py shell -c 'from tracking.models import Fix; print(Fix.objects.count())'
  whether all is well:
    $gpsbridge relay doctor -c $dir/relay1.toml
  a failover, after which the doctor names another master:
    redis-cli -p $((port + 4)) sentinel failover tracking

Ctrl-C ends it all.
EOF
wait
