"""All settings of the cascade in one place; the rooms declare them, this module only assembles and parses."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from lymphct.anatomy.structures import StructureSettings
from lymphct.anatomy.tumor import TumorSettings
from lymphct.attention.mapping import AttentionSettings, Bands, bands_from_mapping
from lymphct.core.errors import UsageError
from lymphct.core.settings import Settings
from lymphct.imaging.preprocess import ImagingSettings
from lymphct.learning.inference_settings import InferenceChoice
from lymphct.metastasis.prediction import MetastasisSettings
from lymphct.nodes.identification import IdentificationSettings
from lymphct.nodes.segmentation import NodeSegmentationSettings
from lymphct.registration.registering import RegistrationSettings


class CascadeSettings(Settings):
    """What concerns the cascade as a whole rather than one stage."""

    fit_intensity: bool = True
    """Measure the intensity statistics on the training patients (Sec. IV-A.2); otherwise fixed values."""
    fit_bands: bool = False
    """Measure the distance bands on the training patients instead of taking Tab. II. Off: the values of the
    paper come from 749 patients, more than most cohorts have."""
    choose_thresholds: bool = True
    """Choose the thresholds of nodes and patients on validation patients. Not stated in the paper."""
    tolerated_missing_structures: int = 5
    """With more guiding structures missing a notice is given. Not stated in the paper (DESIGN §3)."""


class Config(Settings):
    """Every setting of the cascade; the defaults are the values of the paper."""

    imaging: ImagingSettings = ImagingSettings()
    """The grid on which all stages work (Sec. IV-A.2)."""
    registration: RegistrationSettings = RegistrationSettings()
    """How the arterial phase is brought onto the venous one (Sec. IV-A.2)."""
    attention: AttentionSettings = AttentionSettings()
    """Where lymph nodes are looked for (Eq. 1, Eq. 2)."""
    structures: StructureSettings = StructureSettings()
    """Segmentation of organs and vessels (Sec. III-A.1)."""
    tumor: TumorSettings = TumorSettings()
    """Segmentation of the tumor (Sec. IV-B)."""
    nodes: NodeSegmentationSettings = NodeSegmentationSettings()
    """Stage 1, segmentation of lymph nodes (Sec. III-A.1)."""
    identification: IdentificationSettings = IdentificationSettings()
    """Stage 2, positive or negative (Sec. III-A.2)."""
    metastasis: MetastasisSettings = MetastasisSettings()
    """The status of the patient (Sec. III-B)."""
    cascade: CascadeSettings = CascadeSettings()
    """The cascade as a whole. Not stated in the paper."""
    inference: InferenceChoice = InferenceChoice()
    """How `predict` runs the networks of a bundle on this machine. Not stated in the paper."""


def parse_config(text: str, overrides: Sequence[str] = ()) -> Config:
    """Read settings from YAML text, then apply `key=value` overrides such as `nodes.threshold=0.4`.

    Raises:
        UsageError: text that is not YAML, an unknown setting, or a value out of range; one line says which.

    """
    # Starting from the defaults, a group given in part keeps the rest of this room's values.
    values = _merged(Config().model_dump(mode="json"), _mapping(text, "settings"))
    for override in overrides:
        path, equals, value = override.partition("=")
        if not equals:
            msg = f"--set takes key=value, got {override!r}"
            raise UsageError(msg, cure="for example --set nodes.threshold=0.4")
        _assign(values, path.split("."), _scalar(value))
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        msg = f"setting {place}: {first['msg']}"
        raise UsageError(msg, code="E_SETTING", cure="`lymphct config show` lists all settings") from error


def parse_bands(text: str) -> Bands:
    """Read distance bands from YAML text, one line a structure: `spleen: {d_min: 0, d_max: 16}`.

    Raises:
        UsageError: text that is not a YAML mapping.
        InputError: an unknown structure, or a band without extent.

    """
    return bands_from_mapping(_mapping(text, "bands"))


def described(settings: Settings, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """List each setting as (dotted name, value, where the value comes from)."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, Settings):
            yield from described(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value, " ".join((field.description or "").split())


def _mapping(text: str, what: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" (line {where.line + 1})" if where else ""
        msg = f"the {what} are not valid YAML{line}"
        raise UsageError(msg, code="E_YAML", cure="correct the file") from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        msg = f"the {what} are not a YAML mapping of names to values"
        raise UsageError(msg, code="E_YAML", cure="write `name: value` lines")
    return values


def _merged(defaults: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(defaults)
    for name, value in given.items():
        inner = merged.get(name)
        both_groups = isinstance(inner, dict) and isinstance(value, Mapping)
        merged[name] = _merged(inner, value) if both_groups and inner is not None else value
    return merged


def _scalar(text: str) -> Any:  # noqa: ANN401 - a YAML value can be of any type; pydantic checks it next
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        msg = f"the value {text!r} is not valid YAML"
        raise UsageError(msg, code="E_YAML", cure="for example --set nodes.threshold=0.4") from error


def _assign(values: dict[str, Any], path: Sequence[str], value: object) -> None:
    *groups, last = path
    for group in groups:
        inner = values.setdefault(group, {})
        if not isinstance(inner, Mapping):
            msg = f"{group} is a single setting, not a group"
            raise UsageError(msg, code="E_SETTING", cure="`lymphct config show` lists all settings")
        values[group] = inner = dict(inner)
        values = inner
    values[last] = value
