"""Signatures of bundles: made and verified offline, in the format other programs read."""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lymphct.cascade.description import BundleInfo, PartInfo, PhaseIntensity
from lymphct.core.errors import EnvironmentProblemError, InputError, ModelError
from lymphct.core.terms import StageName
from lymphct.io.models.bundles import (
    read_bundle,
    update_bundle_part,
    verify_bundle,
    write_bundle,
    write_model_card,
)
from lymphct.io.models.signatures import sign_bundle, verify_signature

NEEDED = "the optional part signing is not installed"
signing = pytest.importorskip("model_signing.signing", reason=NEEDED)
from cryptography.hazmat.primitives import serialization  # noqa: E402 - comes with the optional part
from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: E402 - the same


def pem(key: "ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey") -> tuple[bytes, bytes]:
    return (
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ),
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    )


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    """Return paths of two pairs of keys: key, public, and those of somebody else."""
    found = {}
    for names in (("key", "public"), ("other_key", "other_public")):
        for name, content in zip(names, pem(ec.generate_private_key(ec.SECP256R1())), strict=True):
            found[name] = tmp_path / f"{name}.pem"
            found[name].write_bytes(content)
    return found


def write_small(folder: Path) -> Path:
    part = PartInfo(architecture={"features": [4]}, patients={}, scores={})
    info = BundleInfo.model_validate(
        {
            "name": "small",
            "salt": "a salt of this bundle",
            "spacing": (2.0, 2.0, 2.0),
            "intensity": {"venous": PhaseIntensity(low=-100, high=240, mean=70, sd=85)},
            "bands": {},
            "thresholds": {},
            "is_phantom": True,
            "notice": "",
            "code_version": "0",
            "parts": {"nodes": part, "tumor": part},
        }
    )
    weights = {name: {"w": torch.full((3,), value)} for name, value in (("nodes", 0.5), ("tumor", 2.0))}
    write_bundle(folder, info, weights, "# Card\n")
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_small(tmp_path / "bundle")


def test_a_signed_bundle_is_verified_and_remains_a_bundle(bundle: Path, keys: dict[str, Path]) -> None:
    before = read_bundle(bundle).digest
    said = sign_bundle(bundle, keys["key"])
    assert sorted(said.files) == ["MODEL_CARD.md", "bundle.json", "nodes.safetensors", "tumor.safetensors"]
    verified = verify_signature(bundle, keys["public"])
    assert verified == said
    assert verified.digest == before == read_bundle(bundle).digest
    assert verify_bundle(bundle)[1] == "files: exactly 4, none of them a pickle"
    (bundle / ".DS_Store").write_bytes(b"\0")  # what a file browser leaves is no part of it
    assert verify_signature(bundle, keys["public"]) == said
    assert sign_bundle(bundle, keys["key"]) == said
    assert verify_signature(bundle, keys["public"]) == said


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: str(curve.name))
def test_longer_keys_serve_as_well(tmp_path: Path, bundle: Path, curve: ec.EllipticCurve) -> None:
    private, public = pem(ec.generate_private_key(curve))
    (tmp_path / "key").write_bytes(private)
    (tmp_path / "public").write_bytes(public)
    assert sign_bundle(bundle, tmp_path / "key") == verify_signature(bundle, tmp_path / "public")


def official(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "model_signing", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_program_of_openssf_verifies_ours_and_we_verify_its(
    tmp_path: Path, bundle: Path, keys: dict[str, Path]
) -> None:
    sign_bundle(bundle, keys["key"])
    signature = ("--signature", bundle / "model.sig")
    looked = official("verify", "key", bundle, *signature, "--public_key", keys["public"])
    assert looked.returncode == 0, looked.stderr
    theirs = write_small(tmp_path / "theirs")
    into = ("--signature", theirs / "model.sig")
    made = official("sign", "key", theirs, *into, "--private_key", keys["key"])
    assert made.returncode == 0, made.stderr
    assert verify_signature(theirs, keys["public"]).files == verify_signature(bundle, keys["public"]).files


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda folder: grow(folder / "MODEL_CARD.md"), "MODEL_CARD.md: not as it was signed"),
        (lambda folder: grow(folder / "bundle.json"), "bundle.json: not as it was signed"),
        (lambda folder: grow(folder / "nodes.safetensors"), "nodes.safetensors: not as it was signed"),
        (lambda folder: (folder / "MODEL_CARD.md").write_bytes(b""), "MODEL_CARD.md: not as it was signed"),
        (lambda folder: (folder / "MODEL_CARD.md").unlink(), "the bundle lacks MODEL_CARD.md"),
        (lambda folder: (folder / "code.py").touch(), "the bundle holds code.py, which does not belong"),
        (lambda folder: (folder / "model.sig").unlink(), "bundle: the bundle has no signature"),
        (lambda folder: (folder / "model.sig").write_bytes(b"{}"), "model.sig: no signature by a key"),
        (
            lambda folder: (folder / "model.sig").write_bytes(b"[" * 200_000),
            "model.sig: no signature by a key",
        ),
        (
            lambda folder: (folder / "model.sig").write_bytes(b"0" * (1 << 21)),
            "model.sig: the file is too large",
        ),
    ],
)
def test_what_is_not_as_it_was_signed_is_refused(
    bundle: Path, keys: dict[str, Path], harm: Callable[[Path], object], words: str
) -> None:
    sign_bundle(bundle, keys["key"])
    harm(bundle)
    with pytest.raises(ModelError, match=words) as refused:
        verify_signature(bundle, keys["public"])
    assert refused.value.exit_code == 7
    assert "\n" not in str(refused.value)


def edited(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Change what a signature says without signing it anew."""
    path = folder / "model.sig"
    envelope = json.loads(path.read_bytes())
    payload = json.loads(base64.b64decode(envelope["dsseEnvelope"]["payload"]))
    change(payload)
    envelope["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    path.write_text(json.dumps(envelope))


def without(name: str) -> Callable[[dict[str, object]], None]:
    def change(payload: dict[str, object]) -> None:
        predicate = payload["predicate"]
        assert isinstance(predicate, dict)
        predicate["resources"] = [one for one in predicate["resources"] if one["name"] != name]

    return change


def test_another_key_a_forged_list_and_a_part_left_out_are_refused(
    bundle: Path, keys: dict[str, Path]
) -> None:
    sign_bundle(bundle, keys["other_key"])
    with pytest.raises(ModelError, match=r"model\.sig: signed with another key \[E_SIGNATURE\]"):
        verify_signature(bundle, keys["public"])
    sign_bundle(bundle, keys["key"])
    edited(bundle, without("nodes.safetensors"))
    with pytest.raises(ModelError, match=r"nodes\.safetensors: not covered by the signature"):
        verify_signature(bundle, keys["public"])
    sign_bundle(bundle, keys["key"])
    edited(bundle, lambda payload: payload.update(subject=[]))
    with pytest.raises(ModelError, match=r"model\.sig: the signature is damaged or forged"):
        verify_signature(bundle, keys["public"])
    # Somebody changes weights and list alike, and leaves the name of the key: only the signature can tell.
    sign_bundle(bundle, keys["key"])
    hint = json.loads((bundle / "model.sig").read_bytes())["verificationMaterial"]
    grow(bundle / "MODEL_CARD.md")
    sign_bundle(bundle, keys["other_key"])
    forged = json.loads((bundle / "model.sig").read_bytes()) | {"verificationMaterial": hint}
    (bundle / "model.sig").write_text(json.dumps(forged))
    with pytest.raises(ModelError, match=r"model\.sig: the signature is damaged or forged"):
        verify_signature(bundle, keys["public"])


def test_a_signature_that_names_more_than_the_bundle_has_is_refused(
    tmp_path: Path, bundle: Path, keys: dict[str, Path]
) -> None:
    whole = shutil.copytree(bundle, tmp_path / "whole")
    (whole / "notes.txt").write_text("signed as well")
    official("sign", "key", whole, "--signature", bundle / "model.sig", "--private_key", keys["key"])
    with pytest.raises(ModelError, match=r"notes\.txt: signed, but not in the bundle"):
        verify_signature(bundle, keys["public"])


def test_keys_that_are_none_are_refused(tmp_path: Path, bundle: Path, keys: dict[str, Path]) -> None:
    private, public = pem(rsa.generate_private_key(65537, 2048))
    for name, content in (("rsa.pem", private), ("text.pem", b"hello")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"{name}: no private key of the curve P-256"):
            sign_bundle(bundle, tmp_path / name)
    assert not (bundle / "model.sig").exists()
    sign_bundle(bundle, keys["key"])
    (tmp_path / "rsa.pem").write_bytes(public)
    for path in (tmp_path / "rsa.pem", keys["key"]):
        with pytest.raises(InputError, match=rf"{path.name}: no public key of the curve P-256"):
            verify_signature(bundle, path)
    os.mkfifo(tmp_path / "pipe")
    for act in (sign_bundle, verify_signature):
        with pytest.raises(InputError, match="pipe: is a pipe"):
            act(bundle, tmp_path / "pipe")


def test_whoever_changes_a_bundle_drops_its_signature(bundle: Path, keys: dict[str, Path]) -> None:
    part = PartInfo(architecture={"features": [4]}, patients={}, scores={})
    changes: tuple[Callable[[], None], ...] = (
        lambda: write_model_card(bundle, "# Another\n"),
        lambda: update_bundle_part(bundle, StageName.NODES, part, {"w": torch.zeros(3)}),
    )
    for change in changes:
        sign_bundle(bundle, keys["key"])
        change()
        with pytest.raises(ModelError, match="has no signature"):
            verify_signature(bundle, keys["public"])


def test_without_the_optional_part_the_cure_is_told(
    bundle: Path, keys: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(EnvironmentProblemError, match=r"pip install 'lymphct\[signing\]'") as missing:
        sign_bundle(bundle, keys["key"])
    assert missing.value.exit_code == 6
