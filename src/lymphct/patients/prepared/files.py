"""Names of what lies in the folder of a prepared patient, beside the images."""

from typing import Final

NODES_FILE: Final = "nodes.json"
LABELLED_FILE: Final = "labelled.json"
"""Names of the structures that were drawn; not there when all were."""
SOURCES_FILE: Final = "structure_sources.json"
"""Who gave each structure, where the masks say so; not there otherwise."""
ALIGNMENT_FILE: Final = "alignment.json"
"""How the phases were brought together, and what a reader of the files must know."""
