"""What the parts of a split must hold, and the fewest moves after which they do.

The splitters of scikit-learn keep the shares of one label and depend on the order of rows. Here a part may
need several things of its patients at once, and the split is one by a hash of ids alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Parts = Mapping[str, Sequence[str]]
"""Patients by the name of their part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Somebody whom a part must hold.

    Attributes:
        part: name of the part.
        what: whom, for a sentence, such as "an N+ patient".
        holders: ids of all such patients of the cohort.

    """

    part: str
    what: str
    holders: frozenset[str]


def unmet(parts: Parts, needs: Iterable[Need]) -> list[Need]:
    """Return the needs that the parts do not meet.

    >>> one = Need(part="train", what="an N+ patient", holders=frozenset({"a"}))
    >>> unmet({"train": ["a"]}, [one]), len(unmet({"train": ["b"]}, [one]))
    ([], 1)
    """
    return [need for need in needs if need.holders.isdisjoint(parts[need.part])]


def rearranged(
    parts: Parts, strata: Mapping[str, str], order: Sequence[str], groups: Sequence[Sequence[Need]]
) -> dict[str, list[str]]:
    """Move as few patients as it takes for the parts to meet their needs; parts that do are left alone.

    Groups are met one after the other: one that cannot be met beside those before it is given up. A part that
    is given a patient gives one back, of the same stratum where it has one to spare, so that sizes hold.

    Args:
        parts: disjoint.
        strata: id → stratum.
        order: all ids; of equal patients the first one is moved.
        groups: needs that are met together or not at all.

    """
    place = {name: part for part, names in parts.items() for name in names}
    nobody_left_out = [Need(part=part, what="a patient", holders=frozenset(place)) for part in parts]
    kept: list[Need] = []
    pinned: dict[str, str] = {}
    for group in groups:
        found = _placement(place, order, [*kept, *group, *nobody_left_out])
        if found is not None:
            kept += group
            pinned = found
    if unmet(parts, kept):
        _move(place, strata, order, pinned)
    return {part: [name for name in order if place[name] == part] for part in parts}


def _placement(
    place: Mapping[str, str], order: Sequence[str], needs: Sequence[Need]
) -> dict[str, str] | None:
    """Find patients who meet all needs, with the part each must be in; None where there are none.

    The rarest need is met first, by whoever is in the part already where that is possible. Patients of one
    part who meet the same needs are alike, so only the first of them is tried.
    """
    rarest = sorted(needs, key=lambda need: len(need.holders))
    alike = {
        name: (place[name], tuple(n for n, need in enumerate(rarest) if name in need.holders))
        for name in order
    }
    pinned: dict[str, str] = {}

    def met(number: int) -> bool:
        if number == len(rarest):
            return True
        need = rarest[number]
        if any(part == need.part and name in need.holders for name, part in pinned.items()):
            return met(number + 1)
        holders = [name for name in order if name in need.holders and name not in pinned]
        tried = set()
        for name in sorted(holders, key=lambda holder: place[holder] != need.part):
            if alike[name] in tried:
                continue
            tried.add(alike[name])
            pinned[name] = need.part
            if met(number + 1):
                return True
            del pinned[name]
        return False

    return pinned if met(0) else None


def _move(
    place: dict[str, str], strata: Mapping[str, str], order: Sequence[str], pinned: Mapping[str, str]
) -> None:
    for name in order:
        source, target = place[name], pinned.get(name, place[name])
        if source == target:
            continue
        spare = [other for other in order if place[other] == target and other not in pinned]
        place[name] = target
        if spare:
            given_back = next((other for other in spare if strata[other] == strata[name]), spare[0])
            place[given_back] = source
