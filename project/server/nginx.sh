#!/bin/sh
# Starts nginx with nginx.conf and the settings of the web service that concern the proxy; "nginx.sh tls" also with
# nginx_tls.conf.
set -eu
folder=$(cd "$(dirname "$0")" && pwd)

# Prints the value of a setting, or its default, without leading zeros, which would make it octal.
whole_number() {
    value=$(printf '%s' "${2:-$3}" | tr -d '[:space:]' | sed 's/^0*\([0-9]\)/\1/')
    case $value in
        '' | *[!0-9]*)
            echo "$1 must be a whole number, not '$value'" >&2
            exit 2
            ;;
    esac
    echo "$value"
}

upload_bytes=$(whole_number MAX_UPLOAD_BYTES "${MAX_UPLOAD_BYTES-}" 134217728)
proxies=$(whole_number PROXIES "${PROXIES-}" 1)
# At least this proxy.
[ "$proxies" -ge 1 ] || proxies=1
# The size of a body as in deals_api/limits.py.
sed -e "s/client_max_body_size 134283264;/client_max_body_size $((upload_bytes + 65536));/" \
    -e "s/map \"\" \$proxies .*/map \"\" \$proxies { default $proxies; }/" \
    -e "s|# nginx.sh ${1:-without}: include \(.*\)|include $folder/\1|" \
    "$folder/nginx.conf" >/tmp/nginx.conf
exec nginx -c /tmp/nginx.conf -g "daemon off;"
