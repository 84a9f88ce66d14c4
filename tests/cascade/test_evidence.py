"""Evidence is what the cascade sees in a patient, and nothing that anybody drew."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.attention.settings import AttentionSettings
from lymphct.baselines.radiomics.features import TOO_SMALL
from lymphct.baselines.settings import RadiomicsSettings, TumorBoxSettings
from lymphct.baselines.tumor_box import tumor_box
from lymphct.cascade.alignment import normalized
from lymphct.cascade.evidence import EvidenceSettings, evidence_of, examined, status_patches
from lymphct.cascade.examination import Findings, Given, Stopwatch, examine
from lymphct.cascade.models import Models
from lymphct.cascade.prepared import PreparedPatient
from lymphct.cascade.settings import Config
from lymphct.core.errors import InputError, LeakageError, ModelError
from lymphct.core.patient import IMPLAUSIBLE, UNKNOWN
from lymphct.core.terms import NodeClass, Phase, StageName
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import DEFAULT_INTENSITY
from lymphct.learning.channels import network_channels
from lymphct.metastasis.settings import PatchSettings
from lymphct.metastasis.slices import tumor_patches
from lymphct.nodes.features import node_features

MakePatient = Callable[..., PreparedPatient]
SMALL = PatchSettings(crop_size=24)
HOW = EvidenceSettings(patches=SMALL)
VOXEL = 1.9 * 2.1 * 2.9
"""mm³."""


@pytest.fixture
def patient(make_patient: MakePatient) -> PreparedPatient:
    return make_patient(noise=3.0, n_status=1)


@pytest.fixture
def found(patient: PreparedPatient, answering: Models) -> Findings:
    return examine(patient.ct, Given(), answering, AttentionSettings(), Stopwatch())


def test_the_settings_are_those_of_a_cascade(tiny: Config) -> None:
    steep = AttentionSettings(border=1.0)
    how = EvidenceSettings.of(tiny.model_copy(update={"attention": steep}))
    assert how == EvidenceSettings(attention=steep, patches=tiny.metastasis.patches)
    assert how != EvidenceSettings()


def test_every_node_comes_with_its_features_and_what_is_known_of_it(
    patient: PreparedPatient, found: Findings, answering: Models
) -> None:
    evidence = examined(patient, answering, HOW)
    assert evidence.nodes == found.nodes.nodes
    assert [node.node_class for node in evidence.nodes] == [NodeClass.POSITIVE, NodeClass.NEGATIVE]
    assert all(node.probability is not None and node.volume > 0 for node in evidence.nodes)
    assert_array_equal(evidence.features, node_features(found.nodes, patient.ct))
    assert np.exp(evidence.features[:, 0]) == pytest.approx([27 * VOXEL, 8 * VOXEL])
    assert 190 < evidence.features[0, 1] < 210  # arterial HU, not the normalised phase
    assert evidence.is_searched


def test_evidence_says_who_the_patient_is_and_whom_the_models_know(
    patient: PreparedPatient, answering: Models
) -> None:
    evidence = examined(patient, answering, HOW)
    assert (evidence.patient, evidence.clinical) == ("p0", patient.clinical)
    assert evidence.clinical.n_status == 1
    with pytest.raises(LeakageError, match="the models were fitted on this patient"):
        evidence.fitted_on.require_unseen("teacher")
    evidence.fitted_on.require_unseen("p0")


def test_the_tumor_comes_as_volume_and_as_the_patches_of_both_phases(
    patient: PreparedPatient, found: Findings, answering: Models
) -> None:
    evidence = examined(patient, answering, HOW)
    assert evidence.tumor_volume == pytest.approx(64 * VOXEL)
    assert evidence.patches is not None
    assert evidence.patches.shape == (9, 3, 24, 24)
    channels = network_channels(normalized(patient.ct, answering.intensity(StageName.METASTASIS)))
    # Outside the image lies the lower clip value of each phase.
    expected = tumor_patches(channels, found.tumor, SMALL, fill=[-35.0, -35.0])
    assert_array_equal(np.asarray(evidence.patches), expected)
    assert expected.min() == -35.0


def test_a_missing_arterial_phase_is_0_in_the_patches_also_outside_the_image(
    make_patient: MakePatient, found: Findings, answering: Models
) -> None:
    alone = make_patient(without=("arterial",)).ct
    patches = status_patches(replace(found, ct=alone), SMALL, answering.intensity(StageName.METASTASIS))
    assert not patches[:, 0].any()
    assert patches[:, 1].min() == -35.0
    assert patches[:, 2].any()


def test_a_phase_without_a_statistic_is_filled_as_the_fixed_one(found: Findings) -> None:
    patches = status_patches(found, SMALL, {})
    image = normalized(found.ct, dict.fromkeys(Phase, DEFAULT_INTENSITY))
    expected = tumor_patches(network_channels(image), found.tumor, SMALL, fill=[DEFAULT_INTENSITY.fill] * 2)
    assert_array_equal(patches, expected)


def test_what_was_drawn_changes_nothing(patient: PreparedPatient, answering: Models) -> None:
    assert patient.structures is not None
    assert patient.tumor is not None
    wrong = replace(
        patient,
        structures=patient.structures.with_array(patient.structures.array[::-1]),
        tumor=patient.tumor.with_array(patient.tumor.array[:, ::-1]),
        nodes=None,
    )
    one, other = (examined(item, answering, HOW) for item in (patient, wrong))
    assert one.nodes == other.nodes
    assert_array_equal(np.asarray(one.patches), np.asarray(other.patches))


def test_a_smaller_patch_or_a_steeper_attention_is_another_evidence(
    patient: PreparedPatient, answering: Models
) -> None:
    wide = examined(patient, answering, EvidenceSettings(patches=PatchSettings(crop_size=16)))
    assert wide.patches is not None
    assert wide.patches.shape == (9, 3, 16, 16)
    bands = answering.info.bands
    narrow = {name: band.model_copy(update={"d_max": 4.0}) for name, band in bands.items()}
    near = replace(answering, info=answering.info.model_copy(update={"bands": narrow}))
    steep = EvidenceSettings(attention=AttentionSettings(border=0.5), patches=SMALL)
    (large,), (cut,) = (examined(patient, near, how).nodes for how in (HOW, steep))
    assert cut.volume < large.volume


def blank(volume: Volume) -> Volume:
    return volume.with_array(np.zeros_like(volume.array))


def test_without_a_tumor_there_are_no_patches_and_no_volume(found: Findings, answering: Models) -> None:
    evidence = evidence_of(replace(found, tumor=blank(found.tumor)), answering, SMALL)
    assert evidence.patches is None
    assert evidence.tumor_volume == 0.0
    assert len(evidence.nodes) == len(evidence.features) == 2
    assert (evidence.patient, evidence.clinical) == ("", UNKNOWN)


def test_what_cannot_be_a_lymph_node_is_no_evidence(found: Findings, answering: Models) -> None:
    first, second = found.nodes.nodes
    doubted = replace(found.nodes, nodes=(replace(first, flags=(IMPLAUSIBLE,)), second))
    evidence = evidence_of(replace(found, nodes=doubted), answering, SMALL)
    assert evidence.nodes == (second,)
    assert_array_equal(evidence.features, node_features(found.nodes, found.ct)[1:])


def test_a_patient_without_nodes_has_an_empty_table_of_features(
    make_patient: MakePatient, answering: Models
) -> None:
    patient = make_patient(without=("arterial",))
    used_to_it = replace(answering, info=answering.info.model_copy(update={"phase_dropout": True}))
    evidence = examined(patient, used_to_it, HOW)
    with pytest.raises(InputError, match="p0: the arterial phase is missing") as caught:
        examined(patient, answering, HOW)  # who is no new patient to these models either
    assert caught.value.code == "E_ARTERIAL"
    assert evidence.nodes == ()
    assert evidence.features.shape == (0, 7)
    assert evidence.patches is None
    assert evidence.is_searched


def test_no_search_is_not_the_same_as_no_nodes(found: Findings, answering: Models) -> None:
    unsearched = replace(found, searched=False)
    assert not evidence_of(unsearched, answering, SMALL).is_searched


def test_a_network_that_examines_is_not_done_without(patient: PreparedPatient, answering: Models) -> None:
    with pytest.raises(ModelError, match="the bundle has no tumor network"):
        examined(patient, replace(answering, tumor=None), HOW)
    assert examined(patient, replace(answering, metastasis=None), HOW).nodes


def test_what_methods_need_beside_is_made_where_one_asks(tiny: Config) -> None:
    plain = EvidenceSettings.of(tiny)
    assert (plain.radiomics, plain.box) == (None, None)
    assert EvidenceSettings.of(tiny, ("tumor", "nodes", "center")) == plain
    asked = EvidenceSettings.of(tiny, ("tumor", "radiomics", "crop"))
    assert (asked.radiomics, asked.box) == (tiny.baselines.radiomics, tiny.baselines.box)


def test_the_box_shows_both_phases_as_the_status_network_sees_them(
    patient: PreparedPatient, found: Findings, answering: Models
) -> None:
    box = TumorBoxSettings(size=12, extent=30.0)
    evidence = examined(patient, answering, replace(HOW, box=box))
    intensity = answering.intensity(StageName.METASTASIS)
    channels = network_channels(normalized(found.ct, intensity))
    fill = [intensity.get(phase, DEFAULT_INTENSITY).fill for phase in (Phase.ARTERIAL, Phase.VENOUS)]
    assert evidence.crop is not None
    assert evidence.crop.shape == (3, 12, 12, 12)
    assert_array_equal(np.asarray(evidence.crop), tumor_box(channels, found.tumor, box, fill=fill))
    assert examined(patient, answering, HOW).crop is None


def test_radiomics_are_those_of_the_tumor_that_was_found(
    patient: PreparedPatient, found: Findings, answering: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def measure(ct: object, tumor: Volume, settings: RadiomicsSettings) -> dict[str, float]:
        seen.append((ct, tumor, settings))
        return {"venous_original_firstorder_Mean": 60.0}

    monkeypatch.setattr("lymphct.cascade.evidence.radiomics_features", measure)
    how = replace(HOW, radiomics=RadiomicsSettings(bin_width=10.0))
    assert examined(patient, answering, how).radiomics == {"venous_original_firstorder_Mean": 60.0}
    ((ct, tumor, settings),) = seen
    assert ct == patient.ct  # HU, not normalised
    assert_array_equal(tumor.array, found.tumor.array)
    assert settings.bin_width == 10.0
    assert examined(patient, answering, HOW).radiomics is None
    assert len(seen) == 1


def test_a_tumor_too_small_for_radiomics_leaves_the_rest_of_the_evidence(
    patient: PreparedPatient,
    answering: Models,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object) -> None:
        raise InputError(next(words), code=next(codes))

    codes, words = iter((TOO_SMALL, "E_OTHER")), iter(("a line", "something else"))
    monkeypatch.setattr("lymphct.cascade.evidence.radiomics_features", refuse)
    how = replace(HOW, radiomics=RadiomicsSettings())
    with caplog.at_level("INFO", logger="lymphct.cascade.evidence"):
        evidence = examined(patient, answering, how)
    assert evidence.radiomics is None
    assert evidence.patches is not None
    assert caplog.messages == ["no radiomics: p0: a line [E_TUMOR_SIZE]"]
    with pytest.raises(InputError, match="something else"):
        examined(patient, answering, how)
