import pytest
import torch

from lymphct.learning.devices import has_bfloat16, resolved_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx512_f": True}, False), ({}, False)],
)
def test_bfloat16_needs_instructions_of_the_processor(
    monkeypatch: pytest.MonkeyPatch,
    capabilities: dict[str, bool],
    expected: bool,  # noqa: FBT001 - pytest passes by name
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert has_bfloat16(CPU) is expected
    assert resolved_precision("auto", CPU) == ("bfloat16" if expected else "float32")


def test_a_torch_that_does_not_tell_means_no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not has_bfloat16(CPU)


def test_a_precision_that_was_named_is_kept() -> None:
    assert resolved_precision("float16", CPU) == "float16"


def test_on_a_gpu_alone_means_float32_on_every_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert resolved_precision("gpu", CPU) == "float32"
    for has_it, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has_it=has_it, **_: has_it)
        assert resolved_precision("gpu", torch.device("cuda")) == expected
