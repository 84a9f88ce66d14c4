"""Published weights become safetensors; what is no weights is refused and not run."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lymphct.core.errors import InputError, ModelError, UsageError
from lymphct.io.models.loading import read_pretrained
from lymphct.io.results.fingerprints import digest_file
from lymphct.io.weight_files import convert_weights


class Harmful:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.trace,))


def saved(content: object, path: Path, *, is_old: bool = False) -> Path:
    """Save as torch does, or did before its files were archives."""
    torch.save(content, path, _use_new_zipfile_serialization=not is_old)  # noqa: TID251 - what others publish
    return path


def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "conv.weight": torch.randn(4, 3, 3, 3, generator=generator).transpose(2, 3),
        "bn.num_batches_tracked": torch.tensor(7),
    }


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize("key", [None, "state_dict"])
def test_weights_come_back_as_they_were(
    key: str | None,
    is_old: bool,  # noqa: FBT001 - pytest passes by name
    tmp_path: Path,
) -> None:
    given = weights()
    content = given if key is None else {key: given, "epoch": 3}
    saved(content, tmp_path / "net.pth", is_old=is_old)
    done = convert_weights(tmp_path / "net.pth", tmp_path / "net.safetensors")
    found = read_pretrained(tmp_path / "net.safetensors")
    assert (done.tensors, done.numbers) == (2, 4 * 3 * 3 * 3 + 1)
    assert done.sha256 == found.digest == digest_file(tmp_path / "net.safetensors")
    assert done.source_sha256 == digest_file(tmp_path / "net.pth")
    torch.testing.assert_close(found.tensors["conv.weight"], given["conv.weight"])
    assert found.tensors["bn.num_batches_tracked"] == 7


@pytest.mark.parametrize("is_old", [False, True])
def test_a_pickle_that_would_run_code_is_refused_and_has_no_effect(
    is_old: bool,  # noqa: FBT001 - pytest passes by name
    tmp_path: Path,
) -> None:
    trace = tmp_path / "trace"
    saved({**weights(), "more": Harmful(trace)}, tmp_path / "net.pth", is_old=is_old)
    with pytest.raises(ModelError, match="unsafe or no file of weights"):
        convert_weights(tmp_path / "net.pth", tmp_path / "net.safetensors")
    assert not trace.exists()
    assert not (tmp_path / "net.safetensors").exists()


@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 3}, {3: torch.zeros(1)}])
def test_what_holds_no_weights_by_name_is_refused(content: object, tmp_path: Path) -> None:
    saved(content, tmp_path / "net.pth")
    with pytest.raises(ModelError, match="unsafe or no file of weights"):
        convert_weights(tmp_path / "net.pth", tmp_path / "net.safetensors")


def test_the_output_is_named_as_what_it_is_and_never_overwritten(tmp_path: Path) -> None:
    saved(weights(), tmp_path / "net.pth")
    with pytest.raises(UsageError, match="not named as one"):
        convert_weights(tmp_path / "net.pth", tmp_path / "net.bin")
    out = tmp_path / "net.safetensors"
    out.write_bytes(b"mine")
    with pytest.raises(UsageError, match="is there already"):
        convert_weights(tmp_path / "net.pth", out)
    assert out.read_bytes() == b"mine"


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises((InputError, ModelError), match="net"):
        convert_weights(tmp_path / "net.pth", tmp_path / "net.safetensors")


def test_what_is_no_file_of_torch_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(b"GIF89a and more")
    with pytest.raises(ModelError, match="unsafe or no file of weights"):
        convert_weights(tmp_path / "net.pth", tmp_path / "net.safetensors")
