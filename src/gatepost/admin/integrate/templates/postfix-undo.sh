#!/bin/sh
# Takes back what apply.sh (@topology@) changed, and nothing else.  May be run again.
set -eu
etc=${1:-/etc/postfix}
saved=$etc/before-gatepost
PATH=$PATH:/usr/sbin
if [ ! -e "$saved" ]; then
    echo "nothing to undo: $saved does not exist"
    exit 0
fi
for name in @names@; do
    line=$(sed -n "/^$name = /p" "$saved")
    if [ -n "$line" ]; then
        postconf -c "$etc" -e "$line"
    else
        postconf -c "$etc" -X "$name"
    fi
done
for service in @service_names@; do
    postconf -c "$etc" -MX "$service"
done
for table in @table_names@; do
    rm -f "$etc/$table"
done
rm -f "$saved"
postfix -c "$etc" check
postfix -c "$etc" status 2>/dev/null && postfix -c "$etc" reload
echo "Postfix works without Gatepost, as before"
