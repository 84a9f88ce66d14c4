"""The names, label numbers and codes of everything that is drawn or counted."""

from enum import Enum, IntEnum, StrEnum
from typing import Final, Literal, get_args


class Phase(Enum):
    """Contrast phases of the CT."""

    ARTERIAL = "arterial"
    VENOUS = "venous"


Phases = Literal["both", "arterial", "venous"]
"""Which phases a network sees. It always has a channel for each; one it does not see is 0 everywhere."""


def sees(phases: Phases, phase: Phase) -> bool:
    """Tell whether a network of these phases sees a phase.

    >>> sees("both", Phase.ARTERIAL), sees("venous", Phase.ARTERIAL)
    (True, False)
    """
    return phases in {"both", phase.value}


class StageName(StrEnum):
    """The trained stages in the order a patient meets them (Fig. 2); also the parts of a bundle."""

    STRUCTURES = "structures"
    TUMOR = "tumor"
    NODES = "nodes"
    IDENTIFICATION = "identification"
    METASTASIS = "metastasis"


class Source(StrEnum):
    """Where a mask of a result comes from."""

    GIVEN = "given"
    NETWORK = "network"
    FILLED = "given+network"
    TRACE = "trace"
    NONE = "none"

    @property
    def is_drawn(self) -> bool:
        """Tell whether somebody drew it, wholly or in part."""
        return self in {Source.GIVEN, Source.FILLED}


class Structure(IntEnum):
    """Organs and vessels with their label numbers (Sec. III-A.1); 1 to 10 guide the attention."""

    SPLEEN = 1
    ESOPHAGUS = 2
    STOMACH = 3
    AORTA = 4
    PANCREAS = 5
    DUODENUM = 6
    SUPERIOR_MESENTERIC_ARTERY = 7
    CELIAC_TRUNK_AND_SPLENIC_ARTERY = 8
    LEFT_GASTRIC_ARTERY = 9
    HEPATIC_ARTERY_COMMON_AND_PROPER = 10
    LIVER = 11
    RIGHT_KIDNEY = 12
    LEFT_KIDNEY = 13
    GALLBLADDER = 14
    INFERIOR_VENA_CAVA = 15
    PORTAL_AND_SPLENIC_VEIN = 16
    SUPERIOR_MESENTERIC_VEIN = 17
    RIGHT_ADRENAL = 18
    LEFT_ADRENAL = 19

    @property
    def label(self) -> str:
        """Return the name used in files: lower case, words joined by underscores."""
        return self.name.lower()

    @property
    def title(self) -> str:
        """Return the name for readers: `SUPERIOR_MESENTERIC_ARTERY` reads "superior mesenteric artery"."""
        return self.label.replace("_", " ")


GUIDING_STRUCTURES: Final = tuple(Structure(number) for number in range(1, 11))
"""The ten structures whose distance maps make the attention (Tab. II)."""

OTHER_STRUCTURES: Final = tuple(structure for structure in Structure if structure not in GUIDING_STRUCTURES)
"""The nine that do not: liver, gallbladder, kidneys, adrenals and the three large veins."""

STRUCTURES_BY_NAME: Final = {structure.label: structure for structure in Structure}

SNOMED_CODES: Final = {
    Structure.SPLEEN: "78961009",
    Structure.ESOPHAGUS: "32849002",
    Structure.STOMACH: "69695003",
    Structure.AORTA: "15825003",
    Structure.PANCREAS: "15776009",
    Structure.DUODENUM: "38848004",
    Structure.SUPERIOR_MESENTERIC_ARTERY: "42258001",
    Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY: "57850000",
    Structure.LEFT_GASTRIC_ARTERY: "23771002",
    Structure.HEPATIC_ARTERY_COMMON_AND_PROPER: "66559000",
    Structure.LIVER: "10200004",
    Structure.RIGHT_KIDNEY: "9846003",
    Structure.LEFT_KIDNEY: "18639004",
    Structure.GALLBLADDER: "28231008",
    Structure.INFERIOR_VENA_CAVA: "64131007",
    Structure.PORTAL_AND_SPLENIC_VEIN: "32764006",
    Structure.SUPERIOR_MESENTERIC_VEIN: "90771006",
    Structure.RIGHT_ADRENAL: "29392005",
    Structure.LEFT_ADRENAL: "12003004",
}
"""SNOMED CT concept of each structure; a structure of two vessels carries the code of the first."""

LYMPH_NODE_SNOMED: Final = "59441001"
"""SNOMED CT concept of a lymph node."""

TOTALSEGMENTATOR_LABELS: Final = {
    1: Structure.SPLEEN,
    2: Structure.RIGHT_KIDNEY,
    3: Structure.LEFT_KIDNEY,
    4: Structure.GALLBLADDER,
    5: Structure.LIVER,
    6: Structure.STOMACH,
    7: Structure.PANCREAS,
    8: Structure.RIGHT_ADRENAL,
    9: Structure.LEFT_ADRENAL,
    15: Structure.ESOPHAGUS,
    19: Structure.DUODENUM,
    52: Structure.AORTA,
    63: Structure.INFERIOR_VENA_CAVA,
    64: Structure.PORTAL_AND_SPLENIC_VEIN,
}
"""TotalSegmentator v2, task `total`: its label number → our structure."""

TOTALSEGMENTATOR_LARGEST: Final = 117
"""Largest label number of TotalSegmentator v2, task `total`."""


class NodeClass(IntEnum):
    """Class of a lymph node as drawn in class maps."""

    POSITIVE = 1
    NEGATIVE = 2

    @property
    def label(self) -> str:
        """Return the word used in files."""
        return self.name.lower()


PHANTOM_NOTICE: Final = (
    "The models were trained on synthetic phantoms. They serve to learn the tool and to test an "
    "installation; their output is meaningless for patients."
)
"""What a bundle trained on synthetic patients says of itself."""

STATIONS: Final = {
    Structure.SPLEEN: ("10",),
    Structure.ESOPHAGUS: ("1", "2"),
    Structure.STOMACH: ("1", "2", "3", "4", "5", "6"),
    Structure.AORTA: ("16",),
    Structure.PANCREAS: ("18",),
    Structure.DUODENUM: ("5", "6", "12", "13", "17"),
    Structure.SUPERIOR_MESENTERIC_ARTERY: ("14",),
    Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY: ("9", "11"),
    Structure.LEFT_GASTRIC_ARTERY: ("7",),
    Structure.HEPATIC_ARTERY_COMMON_AND_PROPER: ("8",),
}
"""Stations of the Japan Pancreas Society around each guiding structure. Not stated in the paper but in the
authors' code."""

RegistrationMethod = Literal["deeds", "none", "convexadam", "deeds-binary"]
"""Ways to bring one phase onto the other (Sec. IV-A.2); `none` trusts the patient's coordinates."""

REGISTRATION_METHODS: Final[tuple[RegistrationMethod, ...]] = get_args(RegistrationMethod)


def counted(number: int, what: str) -> str:
    """Return a number with its noun.

    >>> counted(0, "node"), counted(1, "node"), counted(3, "node")
    ('0 nodes', '1 node', '3 nodes')
    """
    return f"{number} {what}{'' if number == 1 else 's'}"
