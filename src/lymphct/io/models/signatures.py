"""Signatures of bundles by elliptic-curve keys, in the format of OpenSSF Model Signing, without a network.

`model.sig` lies inside the bundle and covers every other file of it (decision 0072). The library is the
optional part `signing`: nothing of it is imported unless a signature is made or asked for.
"""

import base64
import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lymphct.core.errors import EnvironmentProblemError, InputError, ModelError
from lymphct.io.models.bundle_reading import (
    BUNDLE_FILE,
    SIGNATURE_FILE,
    about_file,
    files_of_bundle,
    read_bundle,
)
from lymphct.io.models.weights import LARGEST_WEIGHTS
from lymphct.io.results.disk import environment_errors, read_bounded, replace_file
from lymphct.io.results.jsonfile import parse_json

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["SIGNATURE_FILE", "Signed", "sign_bundle", "verify_signature"]

LARGEST_SIGNATURE: Final = 1 << 20
"""Bytes; that of a bundle of five parts has about three thousand."""
LARGEST_KEY: Final = 1 << 16
"""Bytes; a key of the largest curve has under a thousand."""
_CURVES: Final = "of the curve P-256, P-384 or P-521 in PEM"
_AGAIN: Final = "get the signed bundle again from who made it"


@dataclass(frozen=True, slots=True)
class Signed:
    """What a signature says.

    Attributes:
        files: SHA-256 by the name of each file it covers.
        key: SHA-256 of the public key as PEM; signer and reader may compare it over another channel.

    """

    files: Mapping[str, str]
    key: str

    @property
    def digest(self) -> str:
        """SHA-256 of `bundle.json`: names the whole bundle as `Bundle.digest` does."""
        return self.files[BUNDLE_FILE]


def sign_bundle(folder: Path, key: Path) -> Signed:
    """Sign a bundle with a private key: write `model.sig` into it, in the place of an older one.

    Args:
        folder: a whole bundle.
        key: private key of the curve P-256, P-384 or P-521, PEM, without a password.

    Raises:
        ModelError: the bundle is refused.
        InputError: the key cannot be used.
        EnvironmentProblemError: the optional part is missing, no space, no permission and the like.

    """
    covered = files_of_bundle(read_bundle(folder).info)
    read_bounded(key, LARGEST_KEY)  # a pipe would never end
    hashing, signing, _ = _library()
    try:
        signer = signing.Config().use_elliptic_key_signer(private_key=key)
    except Exception as error:  # whatever the parser of keys raises
        msg = f"no private key {_CURVES} without a password"
        cure = "make one: openssl ecparam -name prime256v1 -genkey -noout -out key.pem"
        raise InputError(msg, code="E_KEY", cure=cure).at(file=key.name) from error
    with environment_errors(), tempfile.TemporaryDirectory(prefix="lymphct-") as scratch:
        made = Path(scratch, SIGNATURE_FILE)
        signer.set_hashing_config(_of_these(hashing, folder, covered)).sign(folder, made)
        content = made.read_bytes()
    said = _said(content)
    _require_signed_files(folder, covered, said)
    replace_file(folder / SIGNATURE_FILE, content)
    return said


def verify_signature(folder: Path, public_key: Path) -> Signed:
    """Verify that a bundle is, file by file, what the owner of a key signed.

    Files are read again later, when they are used: compare `Bundle.digest` with what is returned.

    Args:
        folder: the bundle with its `model.sig`.
        public_key: of who signed, PEM.

    Raises:
        ModelError: no signature, one of another key, damaged or forged, or a file that is not as it was
            signed, is missing or was added.
        InputError: the public key cannot be used.
        EnvironmentProblemError: the optional part is missing.

    """
    covered = files_of_bundle(read_bundle(folder).info)
    if SIGNATURE_FILE not in {path.name for path in folder.iterdir()}:
        msg = f"the bundle has no signature ({SIGNATURE_FILE})"
        raise ModelError(msg, code="E_UNSIGNED", cure=_AGAIN).at(file=folder.name)
    with about_file(SIGNATURE_FILE):
        content = read_bounded(folder / SIGNATURE_FILE, LARGEST_SIGNATURE)
        said = _said(content)
    _require_signed_files(folder, covered, said)
    read_bounded(public_key, LARGEST_KEY)
    hashing, _, verifying = _library()
    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    except Exception as error:  # whatever the parser of keys raises
        msg = f"no public key {_CURVES}"
        cure = "take it from the private key: openssl ec -in key.pem -pubout -out public.pem"
        raise InputError(msg, code="E_KEY", cure=cure).at(file=public_key.name) from error
    with environment_errors(), tempfile.TemporaryDirectory(prefix="lymphct-") as scratch:
        looked_at = Path(scratch, SIGNATURE_FILE)  # what was read above, whatever becomes of the file
        looked_at.write_bytes(content)
        try:
            verifier.set_hashing_config(_of_these(hashing, folder, covered)).verify(folder, looked_at)
        except Exception as error:  # its own, of cryptography, of JSON
            is_other = "Key mismatch" in str(error)
            msg = "signed with another key" if is_other else "the signature is damaged or forged"
            cure = "give the public key of who signed it" if is_other else _AGAIN
            raise ModelError(msg, code="E_SIGNATURE", cure=cure).at(file=SIGNATURE_FILE) from error
    return said


def _library() -> "tuple[ModuleType, ModuleType, ModuleType]":
    try:
        from model_signing import hashing, signing, verifying  # noqa: PLC0415 - seconds, and an optional part
    except ImportError as error:
        msg = f"signatures need the optional part signing ({error})"[:150]
        cure = "pip install 'lymphct[signing]'"
        raise EnvironmentProblemError(msg, code="E_EXTRA", cure=cure) from error
    return hashing, signing, verifying


def _of_these(hashing: "ModuleType", folder: Path, covered: frozenset[str]) -> Any:  # noqa: ANN401 - the library's
    """Return the setting to hash these files of a folder; what a file browser left there is no part of it."""
    others = sorted({SIGNATURE_FILE, *(path.name for path in folder.iterdir())} - covered)
    return hashing.Config().set_ignored_paths(paths=others, ignore_git_paths=False)


def _said(content: bytes) -> Signed:
    """Return what a signature says, before it is known who says so.

    Raises:
        ModelError: not in the format, or of another kind than bundles are signed with.

    """
    try:
        envelope: Any = parse_json(content)
        key = envelope["verificationMaterial"]["publicKey"]["hint"]
        payload: Any = parse_json(base64.b64decode(envelope["dsseEnvelope"]["payload"], validate=True))
        resources = payload["predicate"]["resources"]
        files = {str(one["name"]): str(one["digest"]) for one in resources}
        kinds = {one["algorithm"] for one in resources} | {payload["predicate"]["serialization"]["method"]}
    except (InputError, ValueError, LookupError, TypeError, AttributeError) as error:
        msg = "no signature by a key in the format of OpenSSF Model Signing 1.0"
        raise ModelError(msg, code="E_SIGNATURE", cure="sign the bundle again") from error
    if kinds != {"files", "sha256"} or not isinstance(key, str):
        msg = "the signature is not over whole files by SHA-256"
        raise ModelError(msg, code="E_SIGNATURE", cure="sign the bundle with the defaults")
    return Signed(files=files, key=key)


def _require_signed_files(folder: Path, covered: frozenset[str], said: Signed) -> None:
    """Refuse a signature that leaves a file out or names one that is not there or is another.

    Raises:
        ModelError: names the first such file.

    """
    for name in sorted(covered ^ set(said.files)):
        state = "not covered by the signature" if name in covered else "signed, but not in the bundle"
        raise ModelError(state, code="E_SIGNATURE", cure=_AGAIN).at(file=name)
    for name, digest in said.files.items():
        with about_file(name):
            path = folder / name
            content = read_bounded(path, LARGEST_WEIGHTS) if path.stat().st_size else b""
        if hashlib.sha256(content).hexdigest() != digest:
            msg = "not as it was signed (sha256)"
            raise ModelError(msg, code="E_SIGNATURE", cure=_AGAIN).at(file=name)
