#!/bin/sh
# Reproduce the shipped bundle: synthetic patients, five stages, two cores without GPU.
#
#   benchmarks/train_shipped_bundle.sh [FOLDER]                      train, copy to src/lymphct/bundles/phantom_tiny
#   benchmarks/train_shipped_bundle.sh --without-attention [FOLDER]  stage 1 of the ablation, on the same patients
#
# Structures, tumor and stage 1 learn from 400 patients. Stage 2 learns from others, crowded with lymph nodes, and
# the status network from others again, whom none of the networks before it saw (decisions 0056 and 0059).
#
# The quality tables compare the two stages 1 at one recall: give the second the recall that the first reached on
# its validation patients, `python benchmarks/stage1_operating_points.py FOLDER/without_attention --work FOLDER/prepared
# --recall 0.905`.
#
# Interrupted, it goes on where it stopped when started again. The settings are those of the recipe
# src/lymphct/bundles/recipes/phantom_tiny.yaml. The copied model card is the one training writes: add the
# figures of `python benchmarks/phantom_quality.py --jobs 2 --write` to it.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
ablation=no
if [ "${1:-}" = "--without-attention" ]; then
    ablation=yes
    shift
fi
folder=${1:-$root/runs/phantom_tiny}
lymphct=$root/.venv/bin/lymphct
[ -x "$lymphct" ] || lymphct=lymphct
# Two trainings side by side with one thread each are faster than one after the other with two.
export OMP_NUM_THREADS=1

phantoms() {
    name=$1
    shift
    "$lymphct" phantom "$folder/$name" --size tiny --mode unbiased --phase-shift on --jobs 2 "$@"
}

# train STAGE RUN OPTIONS: goes on with a stage that was begun.
train() {
    stage=$1
    run=$2
    shift 2
    [ ! -d "$run/stages/$stage" ] || set -- "$@" --resume
    "$lymphct" train "$stage" --out "$run" "$@" --work "$folder/prepared" --config phantom_tiny --seed 1 --device cpu \
        --jobs 2
}

phantoms cohort --patients 400 --seed 1
set -- --cohort "$folder/cohort/cohort.csv" --name phantom_tiny

if [ "$ablation" = yes ]; then
    train nodes "$folder/without_attention" --cohort "$folder/cohort/cohort.csv" \
        --name phantom_tiny_without_attention --set nodes.heads.use_attention=false
    exit
fi

for stage in structures tumor nodes; do
    train "$stage" "$folder/finding" "$@"
done

phantoms nodes --patients 160 --crowding 12 --seed 5
phantoms status --patients 200 --seed 6
set -- --cohort "$folder/status/cohort.csv" --cohort "$folder/nodes/cohort.csv" --name phantom_tiny
for stage in identification metastasis; do
    train "$stage" "$folder/judging" "$@" --init "$folder/finding/bundle"
done

"$lymphct" models verify "$folder/judging/bundle"
shipped=$root/src/lymphct/bundles/phantom_tiny
rm -rf "$shipped"
cp -R "$folder/judging/bundle" "$shipped"
echo "$shipped"
