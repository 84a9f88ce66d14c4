"""Model bundles: written whole, verified, never executed."""

import errno
import hashlib
import json
import os
import pickle  # noqa: TID251 - to make the files that must be refused
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lymphct.core.errors import EnvironmentProblemError, LymphctError, ModelError, OutputInUseError
from lymphct.core.leakage import hash_patient
from lymphct.core.terms import StageName
from lymphct.io.models.bundles import (
    BundleInfo,
    DistanceBand,
    PartInfo,
    PhaseIntensity,
    read_bundle,
    shipped_bundle_path,
    update_bundle_part,
    verify_bundle,
    write_bundle,
    write_model_card,
)
from lymphct.io.results.locks import exclusive_lock

torch.set_num_threads(1)

SALT = "a salt of this bundle"


def part(*patients: str) -> PartInfo:
    hashed = tuple(hash_patient(patient, SALT) for patient in patients)
    return PartInfo(architecture={"features": [4, 8]}, patients={"train": hashed}, scores={"dice": 0.5})


def info(**parts: PartInfo) -> BundleInfo:
    return BundleInfo.model_validate(
        {
            "name": "test",
            "salt": SALT,
            "spacing": (2.04, 2.04, 2.4),
            "intensity": {"venous": PhaseIntensity(low=-100, high=240, mean=70, sd=85)},
            "bands": {"spleen": DistanceBand(d_min=0, d_max=16)},
            "thresholds": {"nodes": 0.5},
            "is_phantom": True,
            "notice": "trained on phantoms",
            "code_version": "0.1.0+0",
            "parts": parts,
        }
    )


def tensors(value: float = 0.1) -> dict[str, torch.Tensor]:
    return {"encoder.weight": torch.full((2, 3), value), "norm.count": torch.tensor(3)}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    weights = {"nodes": tensors(0.1), "tumor": tensors(0.2)}
    write_bundle(folder, info(nodes=part("case1", "case2"), tumor=part("case3")), weights, "# Card\n")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def edit(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    path = folder / "bundle.json"
    value = json.loads(path.read_bytes())
    change(value)
    path.write_text(json.dumps(value))


def test_a_bundle_comes_back_as_float32_of_the_half_on_disk(bundle: Path) -> None:
    read = read_bundle(bundle)
    assert sorted(path.name for path in bundle.iterdir()) == [
        "MODEL_CARD.md",
        "bundle.json",
        "nodes.safetensors",
        "tumor.safetensors",
    ]
    assert list(read.weights) == ["nodes", "tumor"]
    assert len(read.weights) == 2
    nodes = read.weights["nodes"]
    assert nodes["encoder.weight"].dtype == torch.float32
    assert float(nodes["encoder.weight"][0, 0]) == float(np.float16(0.1))
    assert nodes["norm.count"].dtype == torch.int64
    assert b'"F16"' in (bundle / "nodes.safetensors").read_bytes()
    assert read.info.spacing == (2.04, 2.04, 2.4)
    assert read.info.parts[StageName.NODES].file == "nodes.safetensors"
    assert read.info.intensity["venous"].sd == 85
    with pytest.raises(KeyError):
        read.weights["metastasis"]


def test_the_same_bundle_has_the_same_bytes_and_any_change_another_digest(
    tmp_path: Path, bundle: Path
) -> None:
    weights = {"tumor": tensors(0.2), "nodes": tensors(0.1)}
    write_bundle(
        tmp_path / "again", info(tumor=part("case3"), nodes=part("case1", "case2")), weights, "# Card\n"
    )
    assert contents(tmp_path / "again") == contents(bundle)
    weights["nodes"]["encoder.weight"][0, 0] = 3.0
    write_bundle(
        tmp_path / "other", info(tumor=part("case3"), nodes=part("case1", "case2")), weights, "# Card\n"
    )
    assert read_bundle(tmp_path / "again").digest == read_bundle(bundle).digest
    assert read_bundle(tmp_path / "other").digest != read_bundle(bundle).digest


def test_a_sound_bundle_says_what_was_checked(bundle: Path) -> None:
    lines = verify_bundle(bundle, {"nodes": ["encoder.weight", "norm.count"]})
    assert lines == [
        "bundle.json: schema 1, bundle test",
        "files: exactly 4, none of them a pickle",
        "nodes.safetensors: sha256, header, 2 tensors, all finite, names as expected",
        "tumor.safetensors: sha256, header, 2 tensors, all finite",
    ]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["encoder.weight"], "'norm.count' is not expected"),
        (["encoder.weight", "norm.count", "a"], "'a' is missing"),
    ],
)
def test_weights_under_other_names_are_refused(bundle: Path, keys: list[str], words: str) -> None:
    with pytest.raises(ModelError, match=f"nodes.safetensors: the tensor {words}"):
        verify_bundle(bundle, {"nodes": keys})


def test_one_changed_byte_is_noticed(bundle: Path) -> None:
    content = bytearray((bundle / "nodes.safetensors").read_bytes())
    content[-1] ^= 1
    (bundle / "nodes.safetensors").write_bytes(bytes(content))
    read = read_bundle(bundle)
    assert float(read.weights["tumor"]["encoder.weight"][0, 0]) == float(np.float16(0.2))
    for refused in (lambda: read.weights["nodes"], lambda: verify_bundle(bundle)):
        with pytest.raises(
            ModelError, match=r"nodes\.safetensors: the weights differ .* \(sha256\)"
        ) as caught:
            refused()
        assert caught.value.exit_code == 7


def test_weights_that_are_not_finite_are_neither_written_nor_read(tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(ModelError, match=r"nodes\.safetensors: the tensor 'encoder\.weight' .* not finite"):
        write_bundle(tmp_path / "bad", info(nodes=part("case1")), {"nodes": tensors(float("nan"))}, "")
    assert not (tmp_path / "bad").exists()
    content = (bundle / "nodes.safetensors").read_bytes()
    half = np.float16(0.1).tobytes()
    (bundle / "nodes.safetensors").write_bytes(content.replace(half, np.float16("nan").tobytes(), 1))
    digest = hashlib.sha256((bundle / "nodes.safetensors").read_bytes()).hexdigest()
    edit(bundle, lambda value: value["parts"]["nodes"].update(sha256=digest))  # type: ignore[index] # plain JSON
    with pytest.raises(ModelError, match="not finite"):
        verify_bundle(bundle)


class Canary:
    """Creates a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["model.pt", "nodes.safetensors", "model"])
def test_a_pickle_offered_as_a_bundle_or_inside_one_is_refused_and_never_run(
    tmp_path: Path, bundle: Path, name: str
) -> None:
    content = pickle.dumps(Canary(tmp_path / "canary"))
    (tmp_path / name).write_bytes(content)
    (bundle / name).write_bytes(content)
    for path in (tmp_path / name, bundle):
        for action in (read_bundle, verify_bundle):
            with pytest.raises(
                ModelError, match=rf"{name}: .*pickle.* not supported, only safetensors"
            ) as caught:
                action(path)
            assert caught.value.exit_code == 7
    assert not (tmp_path / "canary").exists()


def test_a_part_replaced_by_a_pickle_after_reading_is_refused(tmp_path: Path, bundle: Path) -> None:
    read = read_bundle(bundle)
    (bundle / "nodes.safetensors").write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    with pytest.raises(ModelError, match="pickle"):
        read.weights["nodes"]
    assert not (tmp_path / "canary").exists()


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere: no such model bundle"):
        read_bundle(tmp_path / "nowhere")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ModelError, match="a file, but a bundle is a folder of safetensors; pickle files"):
        read_bundle(tmp_path / "text")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"bundle\.json: no such file"):
        read_bundle(tmp_path / "empty")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ('{"name": "a", "name": "b"}', "the key 'name' is given twice"),
        ('{"spacing": [NaN, 1, 1]}', "holds NaN"),
        ("[" * 200_000, "nested deeper"),
        ("[]", "the whole: Input should be"),
    ],
)
def test_a_description_that_is_not_strict_json_is_refused(bundle: Path, text: str, words: str) -> None:
    (bundle / "bundle.json").write_text(text)
    with pytest.raises(ModelError, match=rf"bundle\.json: .*{words}") as caught:
        verify_bundle(bundle)
    assert caught.value.exit_code == 7
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda value: value.update(schema_version=2), "schema_version: Input should be 1"),
        (lambda value: value.update(surprise=1), "surprise: Extra inputs are not permitted"),
        (
            lambda value: value.update(spacing=[1, 1, 0]),
            "spacing.2: Input should be greater than or equal to 0.3",
        ),
        (
            lambda value: value.update(spacing=[1, 11, 1]),
            "spacing.1: Input should be less than or equal to 10",
        ),
        (lambda value: value["thresholds"].update(patient=1.2), "patient is 1.2, outside 0 to 1"),
        (
            lambda value: value["thresholds"].update(node_min_volume_mm3=-1),
            "node_min_volume_mm3 is -1, outside",
        ),
        (lambda value: value["intensity"]["venous"].update(sd=0.01), "intensity.venous.sd"),
        (
            lambda value: value["intensity"]["venous"].update(sd=400),
            "no values from -100 to 240 HU have mean 70 and SD 400",
        ),
        (lambda value: value["intensity"]["venous"].update(mean=400), "have mean 400 and SD 85"),
        (lambda value: value["intensity"]["venous"].update(low=240), "low is 240 HU, not below high, 240 HU"),
        (lambda value: value["intensity"]["venous"].update(high=1e6), "intensity.venous.high"),
        (lambda value: value["bands"]["spleen"].update(d_min=16), "d_min is 16 mm, not below d_max, 16 mm"),
        (lambda value: value["bands"]["spleen"].update(d_max=1e4), "bands.spleen.d_max"),
        (
            lambda value: value.update(notice="lone \ud800"),
            r"the text 'lone \ud800' holds characters that cannot",
        ),
        (lambda value: value["parts"]["nodes"].update(extra={"\x1b[2J": 1}), r"the text '\x1b[2J' holds"),
        (lambda value: value.pop("is_phantom"), "is_phantom: Field required"),
        (
            lambda value: value["bands"].update(appendix={"d_min": 0, "d_max": 1}),
            "unknown structures: appendix",
        ),
        (lambda value: value["parts"].update(brain=value["parts"]["nodes"]), "parts.brain"),
        (lambda value: value["parts"]["nodes"].update(file="../nodes.safetensors"), "parts.nodes.file"),
        (
            lambda value: value["parts"]["nodes"].update(file="tumor.safetensors"),
            "the part nodes names no weight file",
        ),
        (lambda value: value["parts"]["nodes"].update(sha256=""), "the part nodes names no weight file"),
        (lambda value: value["parts"]["nodes"]["patients"].update(train=["case1"]), "patients.train.0"),
        (lambda value: value["parts"].pop("nodes"), "holds nodes.safetensors, which does not belong"),
    ],
)
def test_a_description_that_is_not_valid_names_its_first_fault(
    bundle: Path, change: Callable[[dict[str, object]], object], words: str
) -> None:
    edit(bundle, change)
    with pytest.raises(ModelError) as caught:
        verify_bundle(bundle)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["MODEL_CARD.md", "nodes.safetensors"])
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(ModelError, match=f"the bundle lacks {name}"):
        verify_bundle(bundle)


def test_a_card_that_is_no_regular_file_is_refused_and_never_waited_for(bundle: Path) -> None:
    card = bundle / "MODEL_CARD.md"
    for make in (os.mkfifo, os.mkdir, lambda path: path.symlink_to("nowhere")):
        card.rmdir() if card.is_dir() else card.unlink()
        make(card)
        with pytest.raises(ModelError, match=r"MODEL_CARD\.md is not a regular file"):
            read_bundle(bundle)


def test_a_file_or_folder_too_many_is_named_but_not_what_a_file_browser_left(bundle: Path) -> None:
    (bundle / ".DS_Store").write_bytes(b"\0")
    (bundle / "Thumbs.db").write_bytes(b"\0")
    verify_bundle(bundle)
    (bundle / "code").mkdir()
    with pytest.raises(ModelError, match="the bundle holds code, which does not belong to it"):
        verify_bundle(bundle)


def test_parts_and_weights_must_belong_together(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="parts described: nodes; weights given: tumor"):
        write_bundle(tmp_path / "bad", info(nodes=part("case1")), {"tumor": tensors()}, "")
    assert not (tmp_path / "bad").exists()


def test_a_part_is_added_or_replaced_while_the_others_keep_their_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    write_bundle(folder, info(), {}, "# Card\n")
    assert verify_bundle(folder)[1] == "files: exactly 2, none of them a pickle"
    update_bundle_part(folder, StageName.NODES, part("case1"), tensors(0.1), {"thresholds": {"status": 0.3}})
    before = contents(folder)
    update_bundle_part(folder, StageName.TUMOR, part("case2"), tensors(0.2))
    update_bundle_part(folder, StageName.TUMOR, part("case2"), tensors(0.4), {"notice": "second try"})
    read = read_bundle(folder)
    assert read.info.thresholds == {"nodes": 0.5, "status": 0.3}
    assert read.info.notice == "second try"
    assert float(read.weights["tumor"]["encoder.weight"][0, 0]) == float(np.float16(0.4))
    after = contents(folder)
    assert after["nodes.safetensors"] == before["nodes.safetensors"]
    assert after["MODEL_CARD.md"] == b"# Card\n"
    verify_bundle(folder)


def test_a_part_that_cannot_be_added_leaves_the_bundle_as_it_was(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(bundle)
    with pytest.raises(ModelError, match="not finite"):
        update_bundle_part(bundle, StageName.NODES, part("case1"), tensors(float("inf")))
    with pytest.raises(ModelError, match="spacing"):
        update_bundle_part(bundle, StageName.NODES, part("case1"), tensors(), {"spacing": [0, 1, 1]})

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(EnvironmentProblemError, match="no space"):
            update_bundle_part(bundle, StageName.NODES, part("case1"), tensors(9.0))
    assert contents(bundle) == before
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


def test_a_damaged_neighbour_is_not_carried_over(bundle: Path) -> None:
    (bundle / "tumor.safetensors").write_bytes((bundle / "nodes.safetensors").read_bytes())
    with pytest.raises(ModelError, match=r"tumor\.safetensors: the weights differ"):
        update_bundle_part(bundle, StageName.NODES, part("case1"), tensors())


def test_there_must_be_a_bundle_to_add_to(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model bundle"):
        update_bundle_part(tmp_path / "a" / "none", StageName.NODES, part("case1"), tensors())
    assert list(tmp_path.iterdir()) == []


def test_a_training_waits_for_another_that_is_adding_its_part(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    write_bundle(folder, info(), {}, "")
    with exclusive_lock(tmp_path / ".bundle.staging.lock"):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                update_bundle_part(folder, StageName.NODES, part("case1"), tensors())
                code = 0
            finally:
                os._exit(code)
        assert list(read_bundle(folder).weights) == []
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert list(read_bundle(folder).weights) == ["nodes"]


def test_a_folder_that_is_no_bundle_is_not_overwritten(tmp_path: Path, bundle: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").touch()
    with pytest.raises(OutputInUseError, match="not empty and holds no bundle"):
        write_bundle(tmp_path / "thesis", info(), {}, "")
    (bundle / "notes.txt").touch()
    with pytest.raises(OutputInUseError, match=r"not of a bundle, such as notes\.txt"):
        write_bundle(bundle, info(), {}, "")
    assert (tmp_path / "thesis" / "chapter.txt").exists()


def test_the_card_can_be_rewritten(bundle: Path, tmp_path: Path) -> None:
    write_model_card(bundle, "# Measured: ±0.1\n")
    assert (bundle / "MODEL_CARD.md").read_text(encoding="utf-8") == "# Measured: ±0.1\n"
    verify_bundle(bundle)
    with pytest.raises(ModelError, match="no such model bundle"):
        write_model_card(tmp_path / "none", "")


def test_an_empty_card_is_a_card_but_empty_weights_are_damaged(bundle: Path) -> None:
    write_model_card(bundle, "")
    verify_bundle(bundle)
    (bundle / "nodes.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"nodes\.safetensors: .*empty \(0 bytes\)"):
        verify_bundle(bundle)


def test_a_bundle_knows_whom_it_was_fitted_on_without_naming_them(bundle: Path) -> None:
    read = read_bundle(bundle).info
    assert [f"case{n}" in read.fitted_on_anybody for n in range(1, 5)] == [True, True, True, False]
    assert "case1" not in (bundle / "bundle.json").read_text()
    fitted = read.model_copy(update={"fitted_on": {"bands": (hash_patient("case9", SALT),)}})
    assert "case9" in fitted.fitted_on_anybody
    assert hash_patient("case1", SALT) != hash_patient("case1", "another salt")


def test_the_shipped_bundle_lies_inside_the_package() -> None:
    path = shipped_bundle_path()
    assert path.parts[-3:] == ("lymphct", "bundles", "phantom_tiny")


def test_an_error_names_no_folder_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(LymphctError) as caught:
        read_bundle(tmp_path / "patient John Doe" / "bundle")
    assert "John" not in str(caught.value)
