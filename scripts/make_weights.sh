#!/usr/bin/env bash
# The bundled weights, from photos in the MS-COCO layout: prepare, train, evaluate, bundle with a model card.
#
#     scripts/make_weights.sh PHOTOS [option of coembed train ...]
#
# Stopped, it goes on where it was when started again. From the environment: WORK (default out/weights) keeps pairs,
# run and log; DATA says in the card what the photos were; DEST is where the weights go.
set -euo pipefail

photos=${1:-}
if [ -z "$photos" ] || [ ! -d "$photos/train2014" ]; then
    echo "usage: make weights PHOTOS=DIR, a folder that holds train2014/ and val2014/" >&2
    exit 2
fi
shift
# The recipe of the bundled weights; what is given on the command line replaces it.
[ $# -gt 0 ] || set -- --epochs 8 --minutes 33 --threads 2
work=${WORK:-out/weights}
dest=${DEST:-src/coembed/weights/resaturation}
mkdir -p "$work"
start=$(date +%s)

{
    coembed prepare coco "$photos" "$work/pairs" --task resaturation --size 32 --views 4
    # The dry run prints the time an epoch takes on this machine.
    [ -e "$work/run" ] || coembed train --pairs "$work/pairs" --out "$work/run" "$@" --dry-run
    if [ ! -e "$work/run/model/config.json" ]; then
        resume=()
        [ ! -e "$work/run/run.json" ] || resume=(--resume)
        coembed train --pairs "$work/pairs" --out "$work/run" "$@" ${resume[@]+"${resume[@]}"}
    fi
    coembed evaluate "$work/run" --pairs "$work/pairs" --limit 1000 --baselines --json "$work/evaluation.json"
    python scripts/bundle_weights.py "$work/run" "$work/evaluation.json" "$dest" --data "${DATA:-photos in the MS-COCO layout}"
    echo "make weights took $((($(date +%s) - start) / 60)) minutes"
} 2>&1 | tee -a "$work/make_weights.log"
