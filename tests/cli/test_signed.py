"""`models sign`, `models verify --public-key`, `predict --require-signature`, as a user types them."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.serving_studies import drop

from lymphct.io.manifest import Manifest, read_manifest
from lymphct.io.models.bundles import shipped_bundle_path
from lymphct.io.models.loading import models_in

pytest.importorskip("model_signing.signing", reason="the optional part signing is not installed")
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

Program = Callable[..., Any]


@pytest.fixture
def signed(tmp_path: Path, lymphct: Program) -> tuple[Path, Path]:
    """Return a signed copy of the shipped bundle and the public key."""
    bundle = shutil.copytree(shipped_bundle_path(), tmp_path / "bundle")
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    (tmp_path / "public.pem").write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    done = lymphct("models", "sign", str(bundle), "--key", str(tmp_path / "key.pem"))
    assert done.code == 0, done.err
    assert "model.sig: 7 files signed by key " in done.out
    return bundle, tmp_path / "public.pem"


def test_verify_tells_who_signed_and_refuses_what_nobody_did(
    signed: tuple[Path, Path], lymphct: Program
) -> None:
    bundle, public = signed
    done = lymphct("models", "verify", str(bundle), "--public-key", str(public))
    assert done.code == 0, done.err
    assert "ok  model.sig: 7 files as signed by key " in done.out
    unsigned = lymphct("models", "verify", str(shipped_bundle_path()), "--public-key", str(public))
    assert unsigned.code == 7
    assert "the bundle has no signature (model.sig) [E_UNSIGNED]" in unsigned.err


def test_predict_refuses_a_bundle_that_is_not_as_it_was_signed_before_it_reads_an_image(
    signed: tuple[Path, Path], lymphct: Program, tmp_path: Path
) -> None:
    bundle, public = signed
    card = bundle / "MODEL_CARD.md"
    card.write_text(card.read_text("utf-8") + "Also for patients.\n", encoding="utf-8")
    images = ("--venous", str(tmp_path / "nowhere.nii.gz"), "--out", str(tmp_path / "results"))
    done = lymphct(
        "predict", *images, "--bundle", str(bundle), "--require-signature", str(public), "--dry-run"
    )
    assert done.code == 7
    assert "MODEL_CARD.md: not as it was signed (sha256) [E_SIGNATURE]" in done.err
    assert not (tmp_path / "results").exists()


def test_models_that_were_exchanged_after_the_verification_are_refused(
    signed: tuple[Path, Path],
    lymphct: Program,
    tmp_path: Path,
    cohort: Manifest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle, public = signed
    venous = read_manifest(cohort.path).patients[0].venous

    def exchanged(folder: Path, device: str) -> Any:
        info = folder / "bundle.json"
        info.write_bytes(info.read_bytes() + b"\n")
        return models_in(folder, device)

    monkeypatch.setattr("lymphct.patients.predicting.prediction.models_in", exchanged)
    words = ("--bundle", str(bundle), "--require-signature", str(public), "--out", str(tmp_path / "results"))
    done = lymphct("predict", "--venous", str(venous), *words)
    assert done.code == 7
    assert "not the one whose signature was verified" in done.err
    assert not (tmp_path / "results" / "result.json").exists()


def test_predict_without_the_option_loads_nothing_of_it(lymphct: Program, tmp_path: Path) -> None:
    before = {name for name in sys.modules if name.startswith(("model_signing", "sigstore"))}
    for name in before:
        del sys.modules[name]
    done = lymphct("predict", "--venous", str(tmp_path / "nowhere.nii.gz"), "--out", str(tmp_path / "r"))
    assert done.code == 3
    assert not [name for name in sys.modules if name.startswith(("model_signing", "sigstore"))]


def test_serve_begins_with_no_bundle_but_the_signed_one(
    signed: tuple[Path, Path], lymphct: Program, tmp_path: Path
) -> None:
    bundle, public = signed
    drop(tmp_path / "in" / "s")
    places = ("--watch", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--settle", "0", "--once")
    words = ("serve", *places, "--bundle", str(bundle), "--require-signature", str(public))
    done = lymphct(*words)
    assert done.code == 4, done.err  # refused for the study's own doubts: the bundle was accepted
    (bundle / "MODEL_CARD.md").write_text("For patients.\n", encoding="utf-8")
    done = lymphct(*words)
    assert done.code == 7
    assert "MODEL_CARD.md: not as it was signed (sha256) [E_SIGNATURE]" in done.err
