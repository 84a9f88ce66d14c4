#!/bin/sh
# Reproduce the shipped bundle: 400 synthetic patients, five stages, two cores without GPU.
#
#   benchmarks/train_shipped_bundle.sh [FOLDER]                      train, copy to src/lymphct/bundles/phantom_tiny
#   benchmarks/train_shipped_bundle.sh --without-attention [FOLDER]  stage 1 of the ablation, on the same patients
#
# The quality tables compare the two at one recall: give the second the recall that the first reached on its
# validation patients, `python benchmarks/stage1_operating_points.py FOLDER/without_attention --work FOLDER/prepared --recall 0.905`.
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

"$lymphct" phantom "$folder/cohort" --patients 400 --size tiny --mode unbiased --phase-shift on --seed 1 --jobs 2
# Both runs share the prepared patients.
set -- --cohort "$folder/cohort/cohort.csv" --work "$folder/prepared" --config phantom_tiny --seed 1 --device cpu --jobs 2

if [ "$ablation" = yes ]; then
    run=$folder/without_attention
    [ ! -d "$run/stages/nodes" ] || set -- "$@" --resume
    exec "$lymphct" train nodes "$@" --out "$run" --name phantom_tiny_without_attention \
        --set nodes.heads.use_attention=false
fi

run=$folder/run
[ ! -f "$run/plan.json" ] || set -- "$@" --resume
"$lymphct" train all "$@" --out "$run" --name phantom_tiny
"$lymphct" models verify "$run/bundle"
shipped=$root/src/lymphct/bundles/phantom_tiny
rm -rf "$shipped"
cp -R "$run/bundle" "$shipped"
echo "$shipped"
