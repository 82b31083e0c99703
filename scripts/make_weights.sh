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
    resaturation | relighting) layout=coco holds=train2014 crops=11 ;;
    motion) layout=ucf101 holds=UCF-101 crops=0 ;;
    *) layout= holds= crops= ;;
esac
if [ -z "$layout" ] || [ ! -d "$source/$holds" ]; then
    echo "usage: make weights PHOTOS=DIR CLIPS=DIR, folders that hold train2014/ and val2014/, and UCF-101/" >&2
    exit 2
fi
shift 2
# The recipes of the bundled weights; what is given on the command line replaces them.
if [ $# -eq 0 ]; then
    case "$task" in
        # Codes spread wider than was learned, as validation photos ask for: 5,404 photos are few, and a model of them too
        # sure of others.
        resaturation) set -- --minutes 50 --keep last --model 'sampling.temperatures=[1.3,1]' ;;
        # Edits leave the level of light as it is: samples are judged by the shape of light.
        relighting) set -- --minutes 50 --keep last --model 'sampling.temperatures=[1.5,1]' --scores.no-level ;;
        # Few scenes are soon overfitted: what scores best on held-out ones is kept.
        motion) set -- --minutes 9 --keep best --model 'sampling.temperatures=[1,0.7]' ;;
    esac
    set -- "$@" --clock cpu --threads 1
fi
work=${WORK:-out/weights/$task}
dest=${DEST:-src/coembed/models/weights/$task}
mkdir -p "$work"
start=$(date +%s)

{
    coembed prepare "$layout" "$source" "$work/pairs" --task "$task" --size 32 --crops "$crops"
    # The dry run prints the time an epoch takes on this machine.
    [ -e "$work/run" ] || coembed train --pairs "$work/pairs" --out "$work/run" "$@" --dry-run
    if [ ! -e "$work/run/model/config.json" ]; then
        resume=()
        [ ! -e "$work/run/run.json" ] || resume=(--resume)
        coembed train --pairs "$work/pairs" --out "$work/run" "$@" ${resume[@]+"${resume[@]}"}
    fi
    level=()
    [ "$task" != relighting ] || level=(--no-level)
    coembed evaluate "$work/run" --pairs "$work/pairs" --limit 1000 --baselines ${level[@]+"${level[@]}"} \
        --json "$work/evaluation.json"
    python scripts/bundle_weights.py "$work/run" "$work/evaluation.json" "$dest" --data "${DATA:-$layout}"
    echo "make weights of $task took $((($(date +%s) - start) / 60)) minutes"
} 2>&1 | tee -a "$work/make_weights.log"
