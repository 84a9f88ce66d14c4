"""Every setting says where its value comes from (the reference page and `config show` print it)."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

import lymphct
from lymphct.config import Config, described
from lymphct.core.settings import Settings

SOURCE = re.compile(r"(Sec\. [IVX]+|Eq\. \d|Tab\. [IVX]+|[Nn]ot stated in the paper)")
"""A decision record alone is no source: it says what was chosen, not what the paper says."""

PRINTED = {
    "imaging.spacing": ((0.68, 0.68, 0.80), "Sec. IV-A.2"),
    "imaging.sizes_at": ((0.68, 0.68, 0.80), "Sec. IV-A.2"),
    "attention.border": (3.0, "Eq. 1"),
    "nodes.loss.tversky_alpha": (0.5, "Eq. 3"),
    "nodes.loss.tversky_beta": (1.5, "Eq. 3"),
    "identification.training.learning_rate": (5e-4, "Sec. IV-A.2"),
    "identification.training.momentum": (0.95, "Sec. IV-A.2"),
    "identification.training.optimizer": ("sgd", "Sec. IV-A.2"),
    "identification.training.weight_decay": (1e-4, "Sec. IV-A.2"),
    "metastasis.network.codewords": (8, "Sec. III-B"),
    "metastasis.network.volume_fusion": (True, "Eq. 7"),
    "metastasis.training.learning_rate": (5e-4, "Sec. IV-A.2"),
    "metastasis.training.momentum": (0.95, "Sec. IV-A.2"),
    "metastasis.training.optimizer": ("sgd", "Sec. IV-A.2"),
    "metastasis.training.weight_decay": (1e-4, "Sec. IV-A.2"),
    "registration.method": ("deeds", "Sec. IV-A.2"),
}
"""Values the paper prints, and where."""

NOT_PRINTED = (
    "cascade.fit_intensity",
    "identification.training.epochs",
    "metastasis.training.epochs",
    "metastasis.network.initialization",
    "metastasis.network.input_channels",
    "nodes.training.learning_rate",
    "nodes.training.momentum",
    "nodes.training.optimizer",
    "structures.training.optimizer",
)
"""Values others might look for in the paper in vain."""


def settings_classes() -> list[type[Settings]]:
    """Import the whole package and return every group of settings."""
    for module in pkgutil.walk_packages(lymphct.__path__, "lymphct."):
        importlib.import_module(module.name)
    return sorted(set(_below(Settings)), key=lambda group: (group.__module__, group.__qualname__))


def _below(group: type[Settings]) -> Iterator[type[Settings]]:
    for child in group.__subclasses__():
        if child.__module__.startswith("lymphct."):
            yield child
        yield from _below(child)


def test_every_setting_says_where_its_value_comes_from() -> None:
    unsourced = [
        f"{group.__module__}.{group.__qualname__}.{name}: {field.description}"
        for group in settings_classes()
        for name, field in group.model_fields.items()
        if not SOURCE.search(" ".join((field.description or "").split()))
    ]
    assert unsourced == []


@pytest.mark.parametrize("setting", PRINTED)
def test_a_printed_value_is_the_default_and_cites_its_place(setting: str) -> None:
    value, place = PRINTED[setting]
    shown, source = {name: (value, source) for name, value, source in described(Config())}[setting]
    assert shown == value
    assert place in source
    assert "not stated" not in source.lower()


@pytest.mark.parametrize("setting", NOT_PRINTED)
def test_a_value_that_is_not_printed_is_not_said_to_be(setting: str) -> None:
    source = {name: source for name, _, source in described(Config())}[setting]
    assert "Not stated in the paper" in source


def test_every_group_of_settings_is_frozen_and_refuses_unknown_names() -> None:
    for group in settings_classes():
        assert group.model_config.get("frozen") is True, group
        assert group.model_config.get("extra") == "forbid", group


def test_a_setting_cannot_be_changed_after_it_was_made() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Config().attention.border = 4.0  # type: ignore[misc] # this is what must fail


def test_the_reference_lists_every_setting_once() -> None:
    names = [name for name, _, _ in described(Config())]
    assert len(names) == len(set(names))
    assert {
        "imaging.spacing",
        "attention.border",
        "nodes.loss.tversky_beta",
        "metastasis.network.codewords",
    } <= set(names)
    assert all(source for _, _, source in described(Config()))
