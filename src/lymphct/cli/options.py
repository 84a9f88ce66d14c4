"""Options and arguments that several commands share, each declared once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Registration(StrEnum):
    """How the arterial phase is brought onto the venous one."""

    DEEDS = "deeds"
    NONE = "none"


IMAGE = "NIfTI, NRRD or MHA file, DICOM folder, .zip of one or Enhanced CT (FOLDER#2: its second series)"
"""What an image may be, for help texts."""

CohortFile = Annotated[Path, typer.Argument(help="Manifest, cohort.csv.")]
Labels = Annotated[
    str,
    typer.Option(
        help="Numbering of the structures: auto (the names in the file, else ours), lymphct, "
        "totalsegmentator, pants, cads, vista3d, panorama or a YAML file name: number."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Rehash = Annotated[
    bool,
    typer.Option("--rehash", help="Hash every input and prepared image, also those that look untouched."),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Say what would be done and what forbids it, then stop; nothing is made."),
]
PatientTimeout = Annotated[
    float | None,
    typer.Option(
        "--patient-timeout",
        metavar="SECONDS",
        min=1.0,
        help="Stop a patient that takes longer (exit 4, the others go on); each works in a process that is "
        "killed then.",
    ),
]
RequireSignature = Annotated[
    Path | None,
    typer.Option(
        "--require-signature",
        metavar="PUBLIC_KEY",
        help="Use the bundle only if it is, file by file, what the owner of this key (PEM) signed.",
    ),
]


def signed_digest(bundle: Path, public_key: Path | None) -> str | None:
    """Verify the signature of a bundle; return the digest it names, None where no key was given.

    Raises:
        ModelError: the bundle is not, file by file, what the owner of the key signed.

    """
    if public_key is None:
        return None
    from lymphct.io.models.signatures import verify_signature

    return verify_signature(bundle, public_key).digest
