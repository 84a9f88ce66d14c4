"""Whose structures and tumor guide stage 1: drawn ones, or the networks' for everybody (decision 0039)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lymphct.cascade.settings import CascadeSettings, MaskSource
from lymphct.core.errors import UsageError
from lymphct.core.terms import GUIDING_STRUCTURES, StageName, Structure
from lymphct.io.manifest import PatientRecord

Chain = tuple[StageName, ...]
"""Stages of which each waits for the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskSources:
    """Where the masks come from that guide stage 1, in every patient of a run alike."""

    structures: MaskSource = "given"
    tumor: MaskSource = "given"

    @property
    def networks(self) -> tuple[StageName, ...]:
        """Return the stages whose networks draw, so that they are trained before stage 1."""
        by_stage = {StageName.STRUCTURES: self.structures, StageName.TUMOR: self.tumor}
        return tuple(stage for stage, source in by_stage.items() if source == "network")

    def needs(self, stage: StageName) -> tuple[StageName, ...]:
        """Return the stages that must be in the bundle before one is trained."""
        from lymphct.cascade.stages import STAGES  # noqa: PLC0415 - loads torch, which a plan can do without

        return (*STAGES[stage].needs, *(self.networks if stage is StageName.NODES else ()))

    @property
    def words(self) -> str:
        """Say in words what guides stage 1."""
        whose = {"given": "drawn", "network": "the network's"}
        return f"structures: {whose[self.structures]}, tumor: {whose[self.tumor]}"


DRAWN: Final = MaskSources()
"""As before there was a choice."""


def chosen_sources(
    settings: CascadeSettings,
    records: Sequence[PatientRecord],
    labelled: Mapping[str, Sequence[Structure] | None] | None = None,
    available: Collection[StageName] = (),
) -> MaskSources:
    """Return whose masks guide stage 1 in a run.

    `auto` takes the drawn ones where every patient has them, with the same guiding structures drawn in each;
    else the network's for all, so that no two patients are guided by masks of different kinds. Where nobody
    has any there is no network to learn from them, unless one is brought.

    Args:
        settings: what the user chose.
        records: patients who take part.
        labelled: structures that were drawn in each, known when they are prepared; else as the manifest says.
        available: stages that are taken over from another bundle.

    """
    return MaskSources(
        structures=_chosen(
            settings.structures_source,
            [_guiding(record, labelled) for record in records],
            is_brought=StageName.STRUCTURES in available,
        ),
        tumor=_chosen(
            settings.tumor_source,
            [None if record.tumor is None else frozenset() for record in records],
            is_brought=StageName.TUMOR in available,
        ),
    )


def _guiding(
    record: PatientRecord, labelled: Mapping[str, Sequence[Structure] | None] | None
) -> frozenset[Structure] | None:
    """Return the guiding structures that were drawn in a patient; None without a mask."""
    if record.structures is None:
        return None
    drawn = record.labelled if labelled is None else labelled[record.patient_id]
    return frozenset(GUIDING_STRUCTURES if drawn is None else drawn).intersection(GUIDING_STRUCTURES)


def _chosen(setting: str, kinds: Sequence[frozenset[Structure] | None], *, is_brought: bool) -> MaskSource:
    if setting in {"given", "network"}:
        return "given" if setting == "given" else "network"
    are_alike = len(set(kinds)) == 1
    return "given" if are_alike and not (kinds[0] is None and is_brought) else "network"


def training_rounds(sources: MaskSources) -> tuple[tuple[Chain, ...], ...]:
    """Return what can be trained side by side, round after round; the longest chain does not come last.

    Stage 1 waits for the networks whose masks guide it.
    """
    nodes = (StageName.NODES, StageName.IDENTIFICATION)
    if not sources.networks:
        return (((StageName.TUMOR,), nodes, (StageName.STRUCTURES,)),)
    return ((StageName.STRUCTURES,), (StageName.TUMOR,)), (nodes,)


def stage_missing(name: StageName, missing: Sequence[StageName]) -> UsageError:
    """Return the refusal of a stage that needs others first."""
    msg = f"stage {name} needs {', '.join(missing)} in the bundle first"
    cure = f"lymphct train {missing[0]} with the same --out"
    if name is StageName.NODES:  # it needs others only where their masks guide it
        cure += f", or drawn masks alone: --set cascade.{missing[0]}_source=given"
    return UsageError(msg, code="E_STAGE", cure=cure)
