"""What a score is worth and what drove it, as result.json says it (decision 0052)."""

from pydantic import JsonValue

from lymphct.core.score import CalibratedScore, ScoreDrivers


def calibrated_record(score: CalibratedScore | None) -> dict[str, JsonValue] | None:
    """Return what result.json says of the worth of a score; None where nothing is known of it.

    `probability`, `low` and `high` are null with too few calibration patients, `guaranteed_threshold` with
    too few N+; `abstentions` says why. The threshold is one of the score, not of this probability.
    """
    if score is None:
        return None
    return {
        "probability": score.probability,
        "low": score.low,
        "high": score.high,
        "method": score.method or None,
        "interval": score.interval or None,
        "set": list(score.outcomes),
        "level": score.level,
        "guaranteed_threshold": score.guaranteed_threshold,
        "sensitivity": score.sensitivity,
        "confidence": score.confidence,
        "patients": {
            "which": score.calibrated_on or None,
            "positives": score.positives,
            "negatives": score.negatives,
        },
        "abstentions": list(score.abstentions),
    }


def drivers_record(drivers: ScoreDrivers | None) -> dict[str, JsonValue] | None:
    """Return what result.json says of what drove a score; None where nobody asked or there is no score.

    `nodes` lists the counted lymph nodes, the largest change first; a change is above 0 where the node
    raised the score. `by_nodes` stands there only where a network of all nodes gives that number.
    """
    if drivers is None:
        return None
    learned: dict[str, JsonValue] = {} if drivers.by_nodes is None else {"by_nodes": drivers.by_nodes}
    return learned | {
        "without_nodes": drivers.without_nodes,
        "without_tumor": drivers.without_tumor,
        "without_both": drivers.without_both,
        "tumor_part": drivers.tumor_part,
        "node_part": drivers.node_part,
        "tumor_share": drivers.tumor_share,
        "nodes": [{"node": item.node, "change": item.change} for item in drivers.nodes],
    }
