#!/bin/sh
# Starts nginx with nginx.conf and the settings of the web service that concern the proxy.
set -eu
max_body_bytes=$((${MAX_UPLOAD_BYTES:-134217728} + 65536)) # as in deals_api/limits.py
sed -e "s/client_max_body_size .*;/client_max_body_size $max_body_bytes;/" \
    -e "s/map \"\" \$proxies .*/map \"\" \$proxies { default ${PROXIES:-1}; }/" \
    "$(dirname "$0")/nginx.conf" >/tmp/nginx.conf
exec nginx -c /tmp/nginx.conf -g "daemon off;"
