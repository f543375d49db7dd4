#!/bin/sh
# Postfix and Gatepost, @topology@: made by `gatepost integrate postfix` from @config@.
# Usage: apply.sh [FOLDER]   (default /etc/postfix).  May be run again; undo.sh takes it back.
set -eu
etc=${1:-/etc/postfix}
saved=$etc/before-gatepost
PATH=$PATH:/usr/sbin

# What is there before the first time.
if [ ! -e "$saved" ]; then
    for name in @names@; do
        postconf -c "$etc" -n "$name"
    done 2>/dev/null >"$saved.new"
    mv "$saved.new" "$saved"
fi
was() { sed -n "s/^$1 = //p" "$saved"; }
set_to() { postconf -c "$etc" -e "$1 = $2"; }
put_first() { before=$(was "$1"); set_to "$1" "$2${before:+, $before}"; }

@tables@
@services@
@settings@
@first@

postfix -c "$etc" check
postfix -c "$etc" status 2>/dev/null && postfix -c "$etc" reload
echo "Postfix uses Gatepost (@topology@); undo.sh takes it back"
