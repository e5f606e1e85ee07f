#!/bin/sh
# flownexus: the command line of this server. It runs as the user flownexus, whom the secrets belong to.
set -eu
program=/opt/flownexus
home=/var/lib/flownexus

if [ "${1:-}" = uninstall ]; then
    cd "$program"
    exec venv/bin/python -m deploy.server.install "$@"
fi
if [ "$(id -un)" != flownexus ]; then
    [ "$(id -u)" = 0 ] || { echo "error: sudo flownexus $*" >&2; exit 1; }
    exec setpriv --reuid=flownexus --regid=flownexus --clear-groups --inh-caps=-all --reset-env \
        env ${FLOWNEXUS_API_TOKEN_FILE:+"FLOWNEXUS_API_TOKEN_FILE=$FLOWNEXUS_API_TOKEN_FILE"} "$0" "$@"
fi
umask 077
set -a
. /etc/flownexus/flownexus.env
set +a
export FLOWNEXUS_HOME="$home" DEVICES=0 PYTHONPATH="$program" PYTHONDONTWRITEBYTECODE=1
case "${1:-}" in
    status | logs | backup | restore)
        exec "$program/venv/bin/python" -m local "$@"
        ;;
    *)
        [ -r "$home/env" ] || { echo "error: it has not run yet: systemctl start flownexus" >&2; exit 1; }
        token=${FLOWNEXUS_API_TOKEN_FILE:-}
        . "$home/env"
        FLOWNEXUS_API_TOKEN_FILE=${token:-$FLOWNEXUS_API_TOKEN_FILE}
        exec "$program/venv/bin/python" -m cli "$@"
        ;;
esac
