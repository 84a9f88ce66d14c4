"""Which settings act on which command: a `--set` that would do nothing is refused.

Files given with `--config` may hold more than a command uses, as every preset does.
"""

from collections.abc import Mapping, Sequence
from typing import Final

_ATTENTION: Final = ("attention.border", "attention.suppress_other_organs")
_NOT_WHILE_TRAINING: Final = (
    "inference",
    "cascade.tolerated_missing_structures",
    "cascade.source_agreement",
    "cascade.explain_score",
    "report",
)
_EVERYTHING: Final = ("",)

ACTING: Final[Mapping[str, Sequence[str]]] = {
    "train": _EVERYTHING,
    "crossval": _EVERYTHING,
    "predict": (*_ATTENTION, "registration", "tracing", *_NOT_WHILE_TRAINING),
    "annotate": (*_ATTENTION, "registration", "tracing", *_NOT_WHILE_TRAINING),
    "prepare": (*_ATTENTION, "registration", "imaging"),
    "register": ("registration",),
    "trace": ("registration", "tracing"),
    "attention": _ATTENTION,
    "config": _EVERYTHING,
    "check": (),
    "compare": (),
    "consistency": (),
    "dicom": (),
    "doctor": (),
    "evaluate": (),
    "export": (*_ATTENTION, "registration", "imaging"),
    "import": ("registration",),
    "models": (),
    "phantom": (),
    "serve": (*_ATTENTION, "registration", *_NOT_WHILE_TRAINING),
    "structures": (),
    "study": (),
}
"""Settings by command, as beginnings of their names; for a command that is not listed nothing is judged."""

EXCEPT: Final[Mapping[str, Sequence[str]]] = {
    "train": (*_NOT_WHILE_TRAINING, "tracing", "baselines"),
    "crossval": (*_NOT_WHILE_TRAINING, "tracing", "self_learning"),
    "predict": ("registration.method",),
    "serve": ("registration.method",),
}
"""Those among them that do nothing there."""

INSTEAD: Final[Mapping[tuple[str, str], str]] = {
    ("predict", "registration.method"): "predict --registration HOW",
    ("serve", "registration.method"): "serve --registration HOW",
    ("predict", "nodes.threshold"): "predict --operating-point node_voxel=VALUE",
    ("predict", "nodes.min_volume"): "predict --operating-point node_min_volume_mm3=VALUE",
    ("predict", "identification.threshold"): "predict --operating-point node_positive=VALUE",
    ("predict", "imaging.spacing"): "the grid is that of the bundle",
}
"""What does there what a setting cannot."""


def require_effect(command: str, overrides: Sequence[str]) -> None:
    """Refuse a `--set` that does nothing in a command.

    Names that no setting has are left to whoever reads the settings; a command that reads none refuses them.

    Args:
        command: the first word after `lymphct`.
        overrides: `key=value`, as given.

    Raises:
        UsageError: names the setting and the command where it works.

    """
    if command not in ACTING or not overrides:
        return
    from lymphct.config import Config, described
    from lymphct.core.errors import UsageError

    names = [name for name, *_ in described(Config())]
    for override in overrides:
        given = override.partition("=")[0].strip()
        meant = [name for name in names if _begins(name, given)]
        if any(_acts(command, name) for name in meant) or (ACTING[command] and not meant):
            continue
        places = [
            place for place in ACTING if any(_acts(place, name) for name in meant) and place != "config"
        ]
        where = f"; it works in {', '.join(f'lymphct {place}' for place in places)}" if places else ""
        msg = f"the setting {given} has no effect on lymphct {command}{where}"
        cure = INSTEAD.get((command, given), "leave it out")
        raise UsageError(msg, code="E_NO_EFFECT", cure=cure)


def refuse_settings(overrides: Sequence[str], names: Sequence[str], why: str, cure: str) -> None:
    """Refuse settings that an option of a command has made meaningless.

    Raises:
        UsageError: one of `names` is among the overrides.

    """
    from lymphct.core.errors import UsageError

    for override in overrides:
        given = override.partition("=")[0].strip()
        if any(_begins(name, given) for name in names):
            msg = f"the setting {given} has no effect here: {why}"
            raise UsageError(msg, code="E_NO_EFFECT", cure=cure)


def _acts(command: str, name: str) -> bool:
    is_among = any(_begins(name, group) for group in ACTING[command])
    return is_among and not any(_begins(name, group) for group in EXCEPT.get(command, ()))


def _begins(name: str, group: str) -> bool:
    """Tell whether a setting is a group's, or the group itself; everything belongs to the nameless group.

    >>> _begins("nodes.unet.features", "nodes"), _begins("nodes.threshold", "node"), _begins("nodes", "")
    (True, False, True)
    """
    return not group or name == group or name.startswith(f"{group}.")
