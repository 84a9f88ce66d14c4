"""The guides can be followed: their export is one, their output is of a run, their pictures are small."""

import sys
from pathlib import Path

import pytest

from lymphct.io.images.reading import read_volume
from lymphct.io.manifest import Manifest

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are scripts, not a part of the package

from benchmarks import phantom_export, run_page, tutorial_pictures

ROOT = Path(__file__).parents[1]
GUIDES = [ROOT / "docs" / "tutorial.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]


def test_a_phantom_in_an_export_is_the_phantom_voxel_by_voxel(cohort: Manifest, tmp_path: Path) -> None:
    record = cohort.patients[0]
    row = {"patient_id": record.patient_id, "sex": "F", "age": "61"}
    row |= {"venous": str(record.venous), "arterial": str(record.arterial)}
    phantom_export.write_patient(tmp_path, 3, row, tmp_path)
    phantom = read_volume(Path(record.venous))
    for folder in ("02", "03"):
        series = read_volume(tmp_path / "0004" / folder)
        assert series.geometry.matches(phantom.geometry)
        assert (series.array == phantom.array).all()
    assert len(list((tmp_path / "0004" / "00").iterdir())) == 1


PAGE = """
```bash
echo "one $PWD/file"
```

```text
old
```

<!-- not run: it would fail -->

```bash
exit 1
```

```bash
exit 4  # exit code 4
```

```python
open("made", "w").close()
```
"""


def test_a_page_is_run_from_top_to_bottom_and_says_what_was_printed(tmp_path: Path) -> None:
    said = run_page.followed(PAGE, tmp_path)
    assert said == PAGE.replace("old", "one file")
    assert (tmp_path / "made").exists()


def test_a_block_that_ends_otherwise_than_the_page_says_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="it ended with 3"):
        run_page.followed("```bash\nexit 3\n```\n", tmp_path)


@pytest.mark.parametrize("page", GUIDES, ids=lambda path: path.stem)
def test_no_output_of_a_guide_is_left_blank(page: Path) -> None:
    assert "```text\n```" not in page.read_text("utf-8")


def test_every_picture_of_the_tutorial_is_there_and_small() -> None:
    text = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
    for name in tutorial_pictures.PICTURES:
        path = ROOT / "docs" / "images" / f"tutorial-{name}.png"
        assert path.stat().st_size <= tutorial_pictures.LARGEST
        assert f"(images/{path.name})" in text


def test_the_image_for_docker_takes_the_tested_torch_and_is_not_root() -> None:
    lines = (ROOT / "docs" / "how-to" / "Dockerfile").read_text("utf-8").splitlines()
    pinned = [
        line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if line[:7] == "torch=="
    ]
    assert [line for line in lines if f"--no-deps {pinned[0]} " in line]
    assert [line for line in lines if line.startswith("USER ")] == ["USER 65534:65534"]
    assert lines.index("USER 65534:65534") < lines.index('ENTRYPOINT ["lymphct"]')
