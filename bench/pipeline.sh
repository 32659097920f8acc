#!/usr/bin/env bash
# The same work by the plain tools of the trade: aria2c, then gpg, gunzip and sha512sum, two images at a time.
# pipeline.sh URL_LIST DIRECTORY GPG_HOME
set -euo pipefail
export GNUPGHOME=$3
aria2c --quiet --input-file="$1" --dir="$2" --max-concurrent-downloads=8 --max-connection-per-server=1 --file-allocation=none
[ "${ONLY_DOWNLOAD:-}" ] && exit
cd "$2"
printf '%s\n' *.aci | xargs -P 2 -I{} bash -c '
  set -euo pipefail
  gpg --quiet --verify "$1.asc" "$1" 2>/dev/null
  gunzip --stdout "$1" | tee "$1.tar" | sha512sum > "$1.sum"
' pipeline {}
