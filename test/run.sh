#!/usr/bin/env bash
# Builds where the sources are newer than what was built. Then runs all tests, or those whose files are named, and the check of the
# sources beside them: many tests wait for something, and leave it the processor. What the check says comes after the tests.
set -uo pipefail
cd "$(dirname "$0")/.."

node -e "import('./test/helpers/built.ts').then(({ commandFile }) => commandFile('bin'))" 2>/dev/null || npm run build || exit

checked=$(mktemp)
trap 'rm -f "$checked"' EXIT
npm run check >"$checked" 2>&1 &
checking=$!
ended=0 unfit=0
npx ava "$@" || ended=$?
wait "$checking" || unfit=$?
cat "$checked"
[ "$unfit" = 0 ] || echo "npm run check failed ($unfit), see above"
[ "$ended" = 0 ] && [ "$unfit" = 0 ]
