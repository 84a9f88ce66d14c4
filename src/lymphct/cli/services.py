"""Which commands a bundle can serve, by the networks it holds."""

from collections.abc import Collection

from lymphct.core.terms import StageName


def services(parts: Collection[StageName]) -> list[str]:
    """Return the commands that work with these parts of a bundle, the most complete first."""
    from lymphct.cascade.partial_examination import MASK_STAGES, networks_needed
    from lymphct.cascade.stages import CASCADE

    have = set(parts)
    found = []
    if set(networks_needed(())) <= have:
        score = "" if StageName.METASTASIS in have else " (the score is withheld)"
        found.append(f"predict{score}")
    found += [f"predict --only {last}" for last in MASK_STAGES if set(networks_needed((), last=last)) <= have]
    if StageName.STRUCTURES in have:
        found.append("prepare --bundle")
    if set(CASCADE) <= have:
        found.append("train metastasis --init")
    return found


def require_parts(parts: Collection[StageName], expected: Collection[StageName]) -> None:
    """Refuse a bundle that lacks a part somebody expects.

    Raises:
        ModelError: names those that are missing, and what the bundle serves without them.

    """
    from lymphct.core.errors import ModelError

    missing = [stage.value for stage in StageName if stage in expected and stage not in parts]
    if missing:
        served = ", ".join(services(parts)) or "no command by itself"
        msg = f"the bundle has no {', '.join(missing)}; it serves {served}"
        there = ",".join(stage.value for stage in StageName if stage in parts)
        cure = f"train the rest, or expect less: --parts {there}" if there else "train it first"
        raise ModelError(msg, code="E_PART", cure=cure)
