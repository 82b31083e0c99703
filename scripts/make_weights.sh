#!/usr/bin/env bash
# The bundled weights of one task: prepare, train, evaluate, bundle with a model card.
#
#     scripts/make_weights.sh resaturation|relighting PHOTOS [option of coembed train ...]
#     scripts/make_weights.sh motion CLIPS [option of coembed train ...]
#
# PHOTOS is in the MS-COCO layout, CLIPS in that of UCF101. Stopped, it goes on where it was when started again. From
# the environment: WORK (default out/weights/TASK) keeps pairs, run and log; DATA says in the card what the photos
# were; DEST is where the weights go.
set -euo pipefail

task=${1:-}
source=${2:-}
case "$task" in
    resaturation) layout=coco holds=train2014 keep=896 rank=256 leading=8 fitted_on=600 ;;
    relighting) layout=coco holds=train2014 keep=256 rank=160 leading=6 fitted_on=600 ;;
    # So few scenes are held out that half of all of them serve to calibrate.
    motion) layout=ucf101 holds=UCF-101 keep=768 rank=256 leading=5 fitted_on=1750 ;;
    *) layout= holds= rank= ;;
esac
if [ -z "$layout" ] || [ ! -d "$source/$holds" ]; then
    echo "usage: make weights PHOTOS=DIR CLIPS=DIR, folders that hold train2014/ and val2014/, and UCF-101/" >&2
    exit 2
fi
shift 2
# The recipes of the bundled weights; what is given on the command line replaces them.
if [ $# -eq 0 ]; then
    case "$task" in
        resaturation) set -- --epochs 8 --minutes 30 --clock cpu --threads 1 ;;
        relighting) set -- --epochs 8 --minutes 25 --clock cpu --threads 1 ;;
        # Few scenes and heavy tails: no U-Net but a small one for the mixture's features, much dropout, and a
        # scale above which motion counts as its logarithm.
        motion) set -- --minutes 15 --threads 1 --batch-size 256 --model regression.patches=0 regression.ridge=10 \
            regression.channels=16 regression.dropout=0.3 tie.refine=0 tie.detail=0 tie.dropout=0.2 tie.components=32 \
            tie.least_log_var=-8 field_scale=0.12 'layer_temperatures=[1.05,0.0]' leading=5 ;;
    esac
fi
work=${WORK:-out/weights/$task}
dest=${DEST:-src/coembed/models/weights/$task}
mkdir -p "$work"
start=$(date +%s)

{
    coembed prepare "$layout" "$source" "$work/pairs" --task "$task" --size 32 --crops 5
    # The dry run prints the time an epoch takes on this machine.
    [ -e "$work/run" ] || coembed train --pairs "$work/pairs" --out "$work/run" "$@" --dry-run
    if [ ! -e "$work/run/model/config.json" ]; then
        resume=()
        [ ! -e "$work/run/run.json" ] || resume=(--resume)
        coembed train --pairs "$work/pairs" --out "$work/run" "$@" ${resume[@]+"${resume[@]}"}
    fi
    # Of the codes, what carries least goes, so that the weights stay below 12 MB; a colour condition takes room.
    # Its own draws are for pictures: smooth changes, in few dimensions, as wide as learned. Those that are as wide and
    # as sharp as held-out fields are kept beside.
    python scripts/trim_weights.py "$work/run" "$work/trimmed" --codes "$keep" --rank "$rank" \
        --leading "$leading" --temperatures 1 0
    if [ ! -e "$work/calibrated/config.json" ]; then
        coembed calibrate "$work/trimmed" --pairs "$work/pairs" --out "$work/calibrated" --beside \
            --limit "$fitted_on" --threads 1
    fi
    model=$work/calibrated
    coembed evaluate "$model" --against "$model:calibrated" --pairs "$work/pairs" --limit 1000 --baselines \
        --json "$work/evaluation.json"
    python scripts/bundle_weights.py "$work/run" "$work/evaluation.json" "$dest" --model "$model" --data "${DATA:-$layout}"
    echo "make weights of $task took $((($(date +%s) - start) / 60)) minutes"
} 2>&1 | tee -a "$work/make_weights.log"
