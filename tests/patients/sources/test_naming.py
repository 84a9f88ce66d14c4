"""What a user may write for sources, and what is answered to what nobody can mean."""

from pathlib import Path

import pytest

from lymphct.core.errors import InputError, UsageError
from lymphct.patients.sources.naming import NamedSource, named_sources, require_patient_in_paths


def test_names_paths_and_their_order_are_kept() -> None:
    found = named_sources("totalsegmentator:/x/{patient},pants:p/{patient}.nii.gz, trace,bundle:b,bundle")
    assert [(s.name, s.path) for s in found] == [
        ("totalsegmentator", "/x/{patient}"),
        ("pants", "p/{patient}.nii.gz"),
        ("trace", ""),
        ("bundle", "b"),
        ("bundle", ""),
    ]
    assert [s.scheme for s in found[:2]] == ["totalsegmentator", "pants"]
    assert [s.is_read for s in found] == [True, True, False, False, False]


def test_a_path_is_a_path_even_with_a_comma_or_the_name_of_a_tool(tmp_path: Path) -> None:
    odd = tmp_path / "a,b.nii.gz"
    odd.touch()
    assert named_sources(str(odd), labels="cads") == (
        NamedSource(name="files", path=str(odd), scheme="cads"),
    )
    assert [s.name for s in named_sources("missing/map.nii.gz,C:/maps/{patient}.nii.gz")] == ["files"] * 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("totalsegmentor", r"'totalsegmentor' is neither .* did you mean totalsegmentator"),
        ("pant:x/{patient}", "'pant' is neither a source of structures nor a file; did you mean pants"),
        ("zzzz", "'zzzz' is neither a source of structures nor a file "),
        ("pants", "the source pants needs a path"),
        ("nnunet", "the source nnunet needs a path"),
        ("trace:x", "the source trace takes no path"),
        ("trace,trace", "the source trace is given twice"),
    ],
)
def test_what_means_nothing_is_one_line(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        named_sources(text)


def test_a_cohort_needs_the_patient_in_every_path() -> None:
    require_patient_in_paths(named_sources("cads:x/{patient}.nii.gz,totalsegmentator,bundle:b,nnunet:f"))
    with pytest.raises(UsageError, match=r"the path of cads:x\.nii\.gz is the same for every patient"):
        require_patient_in_paths(named_sources("cads:x.nii.gz"))


def test_a_missing_file_names_patient_and_path(tmp_path: Path) -> None:
    (source,) = named_sources(f"cads:{tmp_path}/{{patient}}.nii.gz")
    (tmp_path / "p1.nii.gz").touch()
    assert source.file_of("p1") == tmp_path / "p1.nii.gz"
    with pytest.raises(InputError, match=r"^p2: .*p2\.nii\.gz: the source cads has no file of this patient"):
        source.file_of("p2")
