"""A trained nnU-Net on disk: `Trainer__Plans__Configuration`, in it `fold_X/checkpoint_final.pth`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from lymphct.core.errors import ModelError
from lymphct.core.leakage import Roles
from lymphct.io.nnunet.plans import DATASET_FILE, PLANS_FILE, NnunetPlan, read_plan

if TYPE_CHECKING:
    from lymphct.io.nnunet.checkpoint import Checkpoint

FINAL: Final = "checkpoint_final.pth"
_FOLD: Final = "fold_"


@dataclass(frozen=True, slots=True)
class NnunetFolder:
    """Where one trained network lies.

    Attributes:
        folder: with `plans.json` and `dataset.json`.
        fold: number of the fold, or `all`.
        checkpoint: name of the file in the fold's folder.

    """

    folder: Path
    fold: str
    checkpoint: str = FINAL

    @classmethod
    def at(cls, path: Path, fold: str | None = None, checkpoint: str = FINAL) -> Self:
        """Return the network a path means: of a results folder, or of one fold in it.

        Args:
            path: results folder or folder of a fold.
            fold: which; None takes that of the path, else the first there is.
            checkpoint: name of the file.

        Raises:
            ModelError: `E_NNUNET_FOLDER`, plans, fold or checkpoint are missing.

        """
        named = path.name.removeprefix(_FOLD) if path.name.startswith(_FOLD) else None
        folder = path.parent if named is not None and not (path / PLANS_FILE).exists() else path
        for name in (PLANS_FILE, DATASET_FILE):
            if not (folder / name).is_file():
                msg = f"no trained nnU-Net: the folder has no {name}"
                cure = "give the folder Trainer__Plans__Configuration, which holds plans.json and fold_0"
                raise ModelError(msg, code="E_NNUNET_FOLDER", cure=cure).at(file=folder.name)
        there = sorted(
            p.name.removeprefix(_FOLD) for p in folder.glob(f"{_FOLD}*") if (p / checkpoint).is_file()
        )
        chosen = fold or named or (there[0] if there else "0")
        if chosen not in there:
            msg = (
                f"there is no {_FOLD}{chosen[:20]}/{checkpoint[:60]}, only folds {', '.join(there) or 'none'}"
            )
            cure = "name a fold that was trained: --fold 0 or all"
            raise ModelError(msg, code="E_NNUNET_FOLDER", cure=cure).at(file=folder.name)
        return cls(folder=folder, fold=chosen, checkpoint=checkpoint)

    def read(self) -> "tuple[NnunetPlan, Checkpoint]":
        """Return the plan and the weights.

        Raises:
            ModelError: damaged, unsafe, or an architecture that is none of ours.

        """
        from lymphct.io.nnunet.checkpoint import read_checkpoint  # noqa: PLC0415 - imports torch

        found = read_checkpoint(self.folder / f"{_FOLD}{self.fold}" / self.checkpoint)
        says = found.facts.get("configuration")
        is_named = "__" in self.folder.resolve().name
        return read_plan(self.folder, None if is_named or not says else str(says)), found

    def roles(self, plan: NnunetPlan) -> Roles | None:
        """Return who taught the network, as our export noted; None where that is not known."""
        splits = plan.ours.get("splits")
        if not isinstance(splits, list):
            return None
        sides = [split for split in splits if isinstance(split, dict)]
        everybody = {str(name) for split in sides for names in split.values() for name in names}
        if self.fold == "all":
            return Roles(train=tuple(sorted(everybody)))
        number = int(self.fold) if self.fold.isdigit() else len(sides)
        if number >= len(sides):
            return None
        return Roles(train=tuple(sides[number]["train"]), validation=tuple(sides[number]["val"]))
