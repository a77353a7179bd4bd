#!/usr/bin/env bash
# Fetch the official code of the peers that benchmarks.unpaired_peers measures, each at a pinned commit, into .bench/code/NAME,
# which git ignores. SOTAlign and Rosetta are under the MIT licence; SUE and STRUCTURE name none, so nothing of theirs may be passed on.
set -euo pipefail
cd "$(dirname "$0")/../.."
export GIT_TERMINAL_PROMPT=0
while read -r name url commit; do
    folder=.bench/code/$name
    if [ -d "$folder/.git" ] && [ "$(git -C "$folder" rev-parse -q --verify HEAD)" = "$commit" ]; then
        echo "$name: at $commit"
        continue
    fi
    if ! git ls-remote -q "$url" HEAD >/dev/null 2>&1; then
        echo "skipped: offline (git does not reach $url)"
        exit 0
    fi
    git init -q "$folder"
    git -C "$folder" fetch -q --depth 1 "$url" "$commit"
    git -C "$folder" -c advice.detachedHead=false checkout -q "$commit"
    echo "$name: fetched $commit"
done <<'PINS'
sotalign https://github.com/ExplainableML/SOTAlign 4a810a1756599e5ff89d5de3321a3a7fb829ef2d
structure https://github.com/mlbio-epfl/STRUCTURE 4c9470600117ed92eb1d7a8834aacf9481d846ae
sue https://github.com/shaham-lab/SUE 27dad5812d35181fcde096c5796a42ad83d4bc1b
rosetta https://github.com/dominik-schnaus/unpaired-rosetta caa181638870e0240b682356145aee37bae3ada6
PINS
