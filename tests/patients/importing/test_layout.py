"""A layout says what is wrong with it in one line, with the nearest name that exists."""

import pytest

from lymphct.core.errors import InputError, UsageError
from lymphct.patients.importing.known_layouts import load_dataset, parse_layout

HEAD = "name: mine\ntitle: Mine\nlicence: none\nnon_commercial: true\ncitation: none\n"
IMAGES = 'images: "{patient}/ct.nii.gz"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD, "images: Field required"),
        (f'{HEAD}imagse: "{{patient}}.nii.gz"\n{IMAGES}', "no such name; did you mean images?"),
        (f'{HEAD}images: "{{pateint}}/ct.nii.gz"', "did you mean {patient}?"),
        (f'{HEAD}images: "ct.nii.gz"', "has no {patient}"),
        (f'{HEAD}images: "../{{patient}}"', "does not lead below the folder"),
        (
            f'{HEAD}{IMAGES}structures: {{files: "{{patient}}.nii.gz", numbers: {{1: pancraes}}}}',
            "mean pancreas?",
        ),
        (f'{HEAD}{IMAGES}structures: {{files: "{{patient}}.nii.gz", names: {{a: aorta}}}}', "needs {name}"),
        (f'{HEAD}{IMAGES}tumor: {{files: "{{patient}}.nii.gz", vote: majority}}', "needs {reader}"),
        (f"{HEAD}{IMAGES}table: {{file: a.csv, id: id, columns: {{agee: age}}}}", "did you mean age?"),
        ("[1, 2", "not valid YAML"),
        ("a: &a [*a]\n", "not valid YAML (line 1)"),
        ("- 1", "no YAML mapping"),
        ("x" * 70_000, "too many for a layout"),
    ],
)
def test_a_wrong_layout_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_layout(text, "mine.yaml")
    assert said in str(refused.value)
    assert "mine.yaml" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_data_set_is_told_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean msd-pancreas"):
        load_dataset("msd")
