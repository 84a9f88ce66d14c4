"""What is said of the patient and of each lymph node: a structured report (TID 1500, Comprehensive 3D SR)."""

from collections.abc import Mapping, Sequence

from highdicom.seg import Segmentation
from highdicom.sr import (
    CodedConcept,
    Comprehensive3DSR,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)

from lymphct.core.patient import Node
from lymphct.core.terms import Source, StageName
from lymphct.io.dicom_results import concepts
from lymphct.io.dicom_results.identity import USE, Identity
from lymphct.io.dicom_results.segmentations import node_title, tracking_uid
from lymphct.io.dicom_results.stored import StoredResult


def structured_report(
    result: StoredResult,
    identity: Identity,
    segmentation: Segmentation | None,
    segments: Sequence[Node],
    long_axes: Mapping[int, float],
) -> Comprehensive3DSR:
    """Return the report: a group for the patient, and one for each node that is a segment.

    Args:
        result: what is told.
        identity: of the result.
        segmentation: of the nodes; None where there is none.
        segments: the nodes in the order of its segments.
        long_axes: longest diameter on the axial slice of largest area, mm, by node.

    """
    groups: list[
        MeasurementsAndQualitativeEvaluations | VolumetricROIMeasurementsAndQualitativeEvaluations
    ] = [_patient(result, identity)]
    if segmentation is not None:
        groups += [
            _node(node, long_axes[node.label], identity, (segmentation, number))
            for number, node in enumerate(segments, start=1)
        ]
    content = MeasurementReport(
        observation_context=identity.observer(),
        procedure_reported=concepts.PROCEDURE,
        imaging_measurements=groups,
    )
    about = identity.instance("sr", 6)
    made = Comprehensive3DSR(
        evidence=[*identity.source.slices, *([] if segmentation is None else [segmentation])],
        content=content[0],
        is_complete=True,
        is_final=False,
        is_verified=False,
        coding_schemes=[concepts.scheme()],
        series_description=f"lymph node report ({USE})",
        **about,
    )
    identity.settle(made, "sr")
    return made


def _patient(result: StoredResult, identity: Identity) -> MeasurementsAndQualitativeEvaluations:
    record = result.record
    numbers = [
        (concepts.STATUS_PROBABILITY, record["probability"]),
        (concepts.STATUS_THRESHOLD, record["threshold"]),
        (concepts.NUMBER_OF_NODES, len(result.nodes) if result.was_searched else None),
    ]
    found = concepts.search(
        len(result.nodes), was_searched=result.was_searched, is_drawn=result.is_drawn(StageName.NODES)
    )
    said = [
        (concepts.INTENDED_USE, concepts.RESEARCH_USE),
        (concepts.SEARCH, found),
        (concepts.STATUS_CALL, concepts.CALLS[record.get("predicted_n_status")]),
    ]
    if result.bundle.get("is_phantom"):
        said.insert(1, (concepts.INTENDED_USE, concepts.PHANTOM_MODELS))
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=identity.uid("patient"), identifier="Lymph node status of the patient"
        ),
        finding_type=concepts.STATUS,
        measurements=[
            Measurement(name=name, value=_told(value), unit=concepts.NO_UNITS)
            for name, value in numbers
            if value is not None
        ],
        qualitative_evaluations=[QualitativeEvaluation(name=name, value=value) for name, value in said],
    )


def _node(
    node: Node, long_axis: float, identity: Identity, segment: tuple[Segmentation, int]
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    segmentation, number = segment
    site = [FindingSite(anatomic_location=concepts.LYMPH_NODE)]
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=tracking_uid(identity, node), identifier=node_title(node)),
        referenced_segment=ReferencedSegment(
            sop_class_uid=segmentation.SOPClassUID,
            sop_instance_uid=segmentation.SOPInstanceUID,
            segment_number=number,
            source_series=SourceSeriesForSegmentation(identity.source.slices[0].SeriesInstanceUID),
        ),
        finding_type=concepts.LYMPH_NODE,
        finding_category=concepts.ANATOMICAL_STRUCTURE,
        finding_sites=site,
        measurements=_measurements(node, long_axis),
        qualitative_evaluations=[
            QualitativeEvaluation(name=name, value=value) for name, value in _evaluations(node)
        ],
    )


def _measurements(node: Node, long_axis: float) -> list[Measurement]:
    sizes = [
        Measurement(name=concepts.VOLUME, value=_told(node.volume), unit=concepts.CUBIC_MILLIMETER),
        Measurement(name=concepts.LONG_AXIS, value=_told(long_axis), unit=concepts.MILLIMETER),
    ]
    if node.short_axis is not None:
        sizes.append(
            Measurement(name=concepts.SHORT_AXIS, value=_told(node.short_axis), unit=concepts.MILLIMETER)
        )
    if node.hu_venous is not None:
        sizes.append(
            Measurement(
                name=concepts.ATTENUATION,
                value=_told(node.hu_venous),
                unit=concepts.HOUNSFIELD,
                derivation=concepts.MEAN,
            )
        )
    if node.probability is not None:
        sizes.append(
            Measurement(name=concepts.NODE_PROBABILITY, value=_told(node.probability), unit=concepts.NO_UNITS)
        )
    return sizes


def _evaluations(node: Node) -> list[tuple[CodedConcept, CodedConcept]]:
    said = [(concepts.INTENDED_USE, concepts.RESEARCH_USE)]
    if node.node_class is not None:
        is_drawn = node.class_source is Source.GIVEN
        said.append((concepts.NODE_CLASS, concepts.node_class(node.node_class, is_drawn=is_drawn)))
    if not node.is_plausible:
        said.append((concepts.NODE_FLAG, concepts.IMPLAUSIBLE_NODE))
    station = concepts.station(node.station)
    if station is not None:
        said.append((concepts.NODE_STATION, station))
    return said


def _told(value: float) -> float:
    """Return a number as our tables round it: a decimal string of DICOM holds 16 characters."""
    return round(float(value), 6)
