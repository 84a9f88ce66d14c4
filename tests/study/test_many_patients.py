"""A cohort larger than the number of files a process may have open."""

import os
import resource
import shutil
from pathlib import Path

import pytest

from lymphct.cascade.cases import Material, segmentation_cases
from lymphct.cascade.learned import fit_learned
from lymphct.cascade.node_cases import identification_cases
from lymphct.core.patient import Clinical
from lymphct.core.terms import StageName
from lymphct.learning.patches import PatchSampler
from lymphct.patients.prepared.dataset import PreparedCohort
from lymphct.patients.prepared.preparation import Store
from lymphct.study.plan import Run


@pytest.fixture
def many(bundle: Path, tmp_path: Path) -> PreparedCohort:
    """Sixty patients: links to the images of one."""
    patients = Run.open(bundle.parent).patients
    name = next(iter(patients))
    source = patients.store.place(name)
    names = [f"copy-{number:03d}" for number in range(60)]
    store = Store(tmp_path, patients.store.variant)
    for copy in names:
        shutil.copytree(source, store.place(copy), copy_function=os.link)
    return PreparedCohort(store, dict.fromkeys(names, Clinical(n_status=1)))


def test_a_cohort_is_learned_from_with_few_files_open(bundle: Path, many: PreparedCohort) -> None:
    config = Run.open(bundle.parent).plan.config
    measured = config.model_copy(update={"cascade": config.cascade.model_copy(update={"fit_bands": True})})
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = len(list(Path("/proc/self/fd").iterdir()))
    # Each patient has four or five files; room for all of them would take 270.
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 200, before[1]))
    try:
        learned = fit_learned(many, tuple(many), measured)
        material = Material(patients=many, learned=learned, config=config)
        sampling = config.nodes.sampling
        cases = segmentation_cases(material, tuple(many), StageName.TUMOR)
        assert len(cases) == len(many)
        sampler = PatchSampler(cases, sampling, config.nodes.augmentation, 0)
        assert sampler.batch(0).image.shape[0] == sampling.batch_size
        assert len(identification_cases(material, tuple(many))) == len(many)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
