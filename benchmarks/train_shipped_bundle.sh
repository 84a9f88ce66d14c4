#!/bin/sh
# Reproduce the shipped bundle on synthetic patients, two cores without GPU: the networks that find, learned from
# 400; stage 2 and the status network, learned from 410 others.
#
#   benchmarks/train_shipped_bundle.sh [FOLDER]                      train, copy to src/lymphct/bundles/phantom_tiny
#   benchmarks/train_shipped_bundle.sh --without-attention [FOLDER]  stage 1 of the ablation, on the same patients
#   benchmarks/train_shipped_bundle.sh --paper [FOLDER]              stage 2 and status as in the paper, likewise
#
# The quality tables compare the first two at one recall: give the second the recall that the first reached on its
# validation patients, `python benchmarks/stage1_operating_points.py FOLDER/without_attention --work FOLDER/prepared --recall 0.905`.
#
# Interrupted, it goes on where it stopped when started again. The settings are those of the recipe
# src/lymphct/bundles/recipes/phantom_tiny.yaml and two that cost more than a first training should. The copied
# model card is the one training writes: add the figures of `python benchmarks/phantom_quality.py --jobs 2 --write`.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
what=shipped
case "${1:-}" in
    --without-attention | --paper)
        what=${1#--}
        shift
        ;;
esac
folder=${1:-$root/runs/phantom_tiny}
lymphct=$root/.venv/bin/lymphct
[ -x "$lymphct" ] || lymphct=lymphct
# Two trainings side by side with one thread each are faster than one after the other with two.
export OMP_NUM_THREADS=1

# Train a stage in a run, or go on with it.
train() {
    stage=$1 run=$2
    shift 2
    [ ! -d "$run/stages/$stage" ] || set -- "$@" --resume
    "$lymphct" train "$stage" --out "$run" --work "$folder/prepared" --config phantom_tiny --seed 1 --device cpu \
        --jobs 2 "$@"
}

"$lymphct" phantom "$folder/cohort" --patients 400 --size tiny --mode unbiased --phase-shift on --seed 1 --jobs 2
if [ "$what" = without-attention ]; then
    train nodes "$folder/without_attention" --cohort "$folder/cohort/cohort.csv" \
        --name phantom_tiny_without_attention --set nodes.heads.use_attention=false
    exit
fi
for stage in structures tumor nodes; do
    train "$stage" "$folder/finding" --cohort "$folder/cohort/cohort.csv" --name phantom_tiny_finding
done

# Nodes are cheap: 110 patients have twelve times as many, and no N status. None of the 410 taught stage 1, so
# that it draws them as it will draw any new patient.
"$lymphct" phantom "$folder/crowded" --patients 110 --size tiny --mode unbiased --phase-shift on --crowding 12 \
    --seed 5 --jobs 2
"$lymphct" phantom "$folder/ordinary" --patients 300 --size tiny --mode unbiased --phase-shift on --seed 6 --jobs 2
set -- --cohort "$folder/ordinary/cohort.csv" --cohort "$folder/crowded/cohort.csv" --init "$folder/finding/bundle"
if [ "$what" = paper ]; then
    run=$folder/paper
    set -- "$@" --name phantom_tiny_paper --set identification.head.node_features=false \
        --set identification.head.mask_average=false --set identification.head.ensemble.members=0 \
        --set identification.training.epochs=16 --set identification.training.judge_start=false \
        --set metastasis.fused=volume
else
    run=$folder/run
    set -- "$@" --name phantom_tiny --set identification.found.learn=true \
        --set metastasis.calibration.patients=out_of_fold
fi
train identification "$run" "$@"
train metastasis "$run" "$@"
"$lymphct" models verify "$run/bundle"
[ "$what" = shipped ] || exit 0
shipped=$root/src/lymphct/bundles/phantom_tiny
rm -rf "$shipped"
cp -R "$run/bundle" "$shipped"
echo "$shipped"
