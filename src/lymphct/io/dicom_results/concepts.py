"""The coded words of the objects: those of SNOMED CT and DICOM where there are any, else words of our own."""

import re
from typing import Final

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes

from lymphct.core.terms import LYMPH_NODE_SNOMED, SNOMED_CODES, NodeClass, Structure

SCHEME: Final = "99LYMPHCT"
"""Designator of our own words; private ones begin with 99 (PS3.16, 8.2)."""

LYMPH_NODE: Final = CodedConcept(LYMPH_NODE_SNOMED, "SCT", "Lymph node")
ANATOMICAL_STRUCTURE: Final = CodedConcept("123037004", "SCT", "Anatomical Structure")
ABNORMAL_STRUCTURE: Final = CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")
NEOPLASM: Final = CodedConcept("108369006", "SCT", "Neoplasm")
PANCREAS: Final = CodedConcept(SNOMED_CODES[Structure.PANCREAS], "SCT", "Pancreas")
VOLUME: Final = CodedConcept("118565006", "SCT", "Volume")
SHORT_AXIS: Final = CodedConcept("103339001", "SCT", "Short Axis")
LONG_AXIS: Final = CodedConcept("103340004", "SCT", "Long Axis")
ATTENUATION: Final = CodedConcept("112031", "DCM", "Attenuation Coefficient")
MEAN: Final = CodedConcept("373098007", "SCT", "Mean")
HOUNSFIELD: Final = CodedConcept("[hnsf'U]", "UCUM", "Hounsfield unit")
MILLIMETER: Final = CodedConcept("mm", "UCUM", "millimeter")
CUBIC_MILLIMETER: Final = CodedConcept("mm3", "UCUM", "cubic millimeter")
NO_UNITS: Final = CodedConcept.from_code(codes.UCUM.NoUnits)
PROCEDURE: Final = CodedConcept("25045-6", "LN", "CT unspecified body region")

_STATION: Final = re.compile(r"[0-9A-Za-z]{1,8}")


def _own(value: str, meaning: str) -> CodedConcept:
    return CodedConcept(value, SCHEME, meaning)


NODE_PROBABILITY: Final = _own("NODE_PROB", "Predicted probability of being positive")
NODE_CLASS: Final = _own("NODE_CLASS", "Class of the lymph node, research use")
NODE_STATION: Final = _own("NODE_STATION", "Lymph node station (Japan Pancreas Society), guessed")
NODE_FLAG: Final = _own("NODE_FLAG", "What a reader must know of the lymph node")
IMPLAUSIBLE_NODE: Final = _own("IMPLAUSIBLE", "Cannot be a lymph node; no score counts it")
STATUS: Final = _own("LN_STATUS", "Lymph node status of the patient")
STATUS_PROBABILITY: Final = _own("LN_PROB", "Predicted probability of lymph node metastasis")
STATUS_THRESHOLD: Final = _own("LN_THRESHOLD", "Probability from which N+ is predicted")
STATUS_CALL: Final = _own("LN_CALL", "Predicted lymph node status, research use")
SEARCH: Final = _own("LN_SEARCH", "Lymph nodes, predicted, research use")
NUMBER_OF_NODES: Final = _own("LN_NUMBER", "Number of lymph nodes")
INTENDED_USE: Final = _own("USE", "Intended use")
RESEARCH_USE: Final = _own("RESEARCH_USE", "Predicted; research use only, not a medical device")
PHANTOM_MODELS: Final = _own("PHANTOM_MODELS", "Models of synthetic phantoms: meaningless for patients")
ATTENTION: Final = _own("ATTENTION", "Attention of the search for lymph nodes")
NODE_MAP: Final = _own("NODE_MAP", "Predicted probability of a lymph node")
CALLS: Final = {
    1: _own("N_POSITIVE", "Predicted N+ (lymph node metastasis)"),
    0: _own("N_NEGATIVE", "Predicted N- (no lymph node metastasis)"),
    None: _own("N_WITHHELD", "No prediction: score withheld"),
}
"""By `predicted_n_status`."""


def node_class(called: NodeClass, *, is_drawn: bool) -> CodedConcept:
    """Return the word for a node's class; nobody must take for found what was drawn."""
    who = "drawn" if is_drawn else "predicted"
    return _own(f"{who.upper()}_{called.label.upper()[:3]}", f"{who} {called.label}")


def station(name: str) -> CodedConcept | None:
    """Return the word for a station; None where its name is no number of one."""
    return _own(f"JPS_{name}", f"Station {name}") if _STATION.fullmatch(name) else None


def search(number: int, *, was_searched: bool, is_drawn: bool) -> CodedConcept:
    """Return the word for whether lymph nodes were looked for and found."""
    if not was_searched:
        return _own("NOT_SEARCHED", "Lymph nodes were not searched")
    if number == 0:
        return _own("NONE_FOUND", "No lymph nodes drawn" if is_drawn else "No lymph nodes found")
    return _own("FOUND", "Lymph nodes drawn" if is_drawn else "Lymph nodes found")


def structure(which: Structure) -> CodedConcept:
    """Return the SNOMED CT concept of a structure, under our name: some hold two vessels."""
    return CodedConcept(SNOMED_CODES[which], "SCT", which.title.capitalize())


def scheme() -> CodingSchemeIdentificationItem:
    """Return what an object says of our own words."""
    return CodingSchemeIdentificationItem(
        designator=SCHEME, name="Words of lymphct", responsible_organization="lymphct"
    )
