"""What the project wants to reach."""

from typing import Final

from benchmarks.suite_figures import (
    Goal,
    beside_best,
    best_cropped,
    largest,
    largest_memory,
    largest_metric_error,
    registration_share,
    row_of,
    slowest_map,
    times,
    wall_of_start,
    whole_ct,
)

MIB_OF_64_MB: Final = 64e6 / 2**20
MIB_OF_6_GB: Final = 6e9 / 2**20
NNUNET, OURS = "nnU-Net", "lymphct, openvino"

GOALS: Final = (
    Goal(
        name="attention map: times as fast as scipy on the whole image",
        section="attention",
        wanted=200,
        reached=times("scipy, whole image"),
    ),
    Goal(
        name="attention map: times as fast as the best library on boxes",
        section="attention",
        wanted=3,
        reached=best_cropped,
    ),
    Goal(
        name="attention map: largest error against double precision",
        section="attention",
        wanted=1e-5,
        reached=lambda record: float(row_of(record, "lymphct")["error"]),
        is_limit=True,
    ),
    Goal(
        name="attention map: MiB beyond its result",
        section="attention",
        wanted=MIB_OF_64_MB,
        reached=lambda record: float(row_of(record, "lymphct")["extra_mib"]),
        is_limit=True,
    ),
    Goal(
        name="attention map: times the floor (read labels, write float32)",
        section="attention",
        wanted=8,
        reached=lambda record: 1 / times("floor")(record),
        is_limit=True,
    ),
    Goal(
        name="registration: share of the CPU time of the original DEEDS",
        section="registration",
        wanted=0.15,
        reached=registration_share("DEEDS, original"),
        is_limit=True,
    ),
    Goal(
        name="registration: share of the CPU time of convexAdam",
        section="registration",
        wanted=0.22,
        reached=registration_share("convexAdam"),
        is_limit=True,
    ),
    Goal(
        name="Dice, HD, ASD: times as fast as MONAI",
        section="metrics",
        wanted=20,
        reached=times("MONAI"),
    ),
    Goal(
        name="Dice, HD, ASD: largest difference from the peers",
        section="metrics",
        wanted=1e-4,
        reached=largest_metric_error,
        is_limit=True,
    ),
    Goal(
        name="matching of nodes: times as fast as panoptica",
        section="matching",
        wanted=10,
        reached=times("panoptica, matching alone"),
    ),
    Goal(
        name="windows without attention skipped: times as fast as all windows, same bits",
        section="inference",
        wanted=1.3,
        reached=lambda record: slowest_map(record, "skipped without attention"),
    ),
    Goal(
        name="windows laid for few with attention, skipped: times as fast as all even windows",
        section="inference",
        wanted=1.3,
        reached=lambda record: slowest_map(record, "few with attention, skipped"),
    ),
    Goal(
        name="windows over the attention's box: times as fast as all windows",
        section="inference",
        wanted=3,
        reached=lambda record: slowest_map(record, "box of the attention"),
    ),
    Goal(
        name="OpenVINO: times as fast as torch, the paper's network and window, single precision",
        section="inference",
        wanted=1.5,
        reached=times("torch, float32, logits", "openvino, float32", "as in the paper"),
    ),
    Goal(
        name="networks: MiB beyond the input, largest stage",
        section="inference",
        wanted=MIB_OF_6_GB,
        reached=largest_memory,
        is_limit=True,
    ),
    Goal(
        name="whole `tiny` patient, files to report: wall s",
        section="profile",
        wanted=60,
        reached=lambda record: float(record["profile"]["whole"]["wall"]),
        is_limit=True,
    ),
    Goal(
        name="whole CT of 384×384×200 mm, shipped bundle: CPU s",
        section="profile",
        wanted=45,
        reached=whole_ct("cpu"),
        is_limit=True,
    ),
    Goal(
        name="whole CT of 384×384×200 mm, shipped bundle: wall s, two cores",
        section="profile",
        wanted=30,
        reached=whole_ct("wall"),
        is_limit=True,
    ),
    Goal(
        name="`lymphct --help`: wall s",
        section="profile",
        wanted=0.3,
        reached=wall_of_start,
        is_limit=True,
    ),
    Goal(
        name="cost with the voxels: largest exponent",
        section="scaling",
        wanted=1.1,
        reached=lambda record: max(float(row["exponent"]) for row in record["rows"]),
        is_limit=True,
    ),
    Goal(
        name="nnU-Net's predictor, same weights: times as fast, by OpenVINO",
        section="nnunet_inference",
        wanted=3,
        reached=times(NNUNET, OURS),
    ),
    Goal(
        name="nnU-Net's predictor, same weights: share of its memory, by OpenVINO",
        section="nnunet_inference",
        wanted=0.25,
        reached=lambda record: (
            largest([row_of(record, OURS)], "extra_mib") / largest([row_of(record, NNUNET)], "extra_mib")
        ),
        is_limit=True,
    ),
    Goal(
        name="nnU-Net's predictor, same weights: smallest Dice of a class, by OpenVINO",
        section="nnunet_inference",
        wanted=0.999,
        reached=lambda record: 1 - float(row_of(record, OURS)["error"]),
    ),
    Goal(
        name="augmentation: times as fast as batchgeneratorsv2",
        section="augmentation",
        wanted=4,
        reached=times("batchgeneratorsv2"),
    ),
    Goal(
        name="one patch of 160×192×80 read from the store and augmented: CPU s",
        section="training_pipeline",
        wanted=0.07,
        reached=lambda record: float(record["rows"]["cpu"]["cpu"]) / float(record["patches"]),
        is_limit=True,
    ),
    Goal(
        name="a step of 0.15 s: % of the time waiting for data, two threads",
        section="training_pipeline",
        wanted=5,
        reached=lambda record: 100 * largest(list(record["rows"].values()), "share"),
        is_limit=True,
    ),
    Goal(
        name="training: GB beside network and batch, any number of patients",
        section="training_scale",
        wanted=3,
        reached=lambda record: largest(record["rows"], "more", "whole"),
        is_limit=True,
    ),
    Goal(
        name="training: s from the list of patients to the first batch",
        section="training_scale",
        wanted=10,
        reached=lambda record: largest(record["rows"], "first"),
        is_limit=True,
    ),
    Goal(
        name="training: % of an epoch for its validation",
        section="training_scale",
        wanted=5,
        reached=lambda record: 100 * largest(record["rows"], "validation_share"),
        is_limit=True,
    ),
    Goal(
        name="prepared patients: % of 10 bytes per voxel",
        section="prepared_store",
        wanted=45,
        reached=lambda record: 100 * largest(record["images"], "share_of_plain"),
        is_limit=True,
    ),
    Goal(
        name="threads beside busy processes: times the best setting",
        section="threads",
        wanted=1.3,
        reached=beside_best,
        is_limit=True,
    ),
)
"""Smallest gain wanted of each stage, in the order of the page."""
