"""The commands of the pages that say how to come from another tool."""

import re
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.conf import settings
from django.core.management import call_command

from labeling.models import Assignment, ImportedAnnotator, Project, Task
from tests.labeling.objects import make_project

pytestmark = pytest.mark.django_db

DOCS = Path(settings.BASE_DIR) / "docs"


def run_page(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Run the commands of a page in a folder with the file that it shows; what each printed."""
    page = (DOCS / name).read_text(encoding="utf-8")
    files = set(re.findall(r"import \w+ (\S+\.json)", page))
    for file, content in zip(files, re.findall(r"```json\n(.*?)```", page, re.DOTALL), strict=True):
        (folder / file).write_text(content, encoding="utf-8")
    printed = []
    for line in re.findall(r"^\$ \.venv/bin/python manage\.py (.*)$", page, re.MULTILINE):
        command, project, file, *options = shlex.split(line)
        call_command(command, project, str(folder / file), *options)
        printed.append(capsys.readouterr().out.replace(f"{folder}/", ""))
    assert printed
    return printed


@pytest.mark.parametrize(
    ("page", "people"),
    [
        ("coming-from-label-studio.md", ["label-studio:2", "label-studio:5"]),
        ("coming-from-argilla.md", ["argilla:3f0c2e9a", "argilla:77aa01b2"]),
    ],
)
def test_an_export_comes_with_its_answers(
    page: str, people: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_project("preferences", feedback="pair", samples_per_task=2)
    looked_at, imported = run_page(page, tmp_path, capsys)
    result = "1 prompt, 1 task with 2 samples, 2 answers by 2 annotators."
    assert f"Would import: {result}" in looked_at
    assert f"Imported: {result}" in imported
    assert f"Imported: {result}" in (DOCS / page).read_text(encoding="utf-8")
    assert [str(each) for each in ImportedAnnotator.objects.all()] == people
    assert Assignment.objects.submitted().count() == 2


def test_a_data_set_is_named_looked_at_and_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for slug in ("preferences", "others", "prompts"):
        make_project(slug, feedback="pair", samples_per_task=2)
    rows = range(40)
    columns = {"q": "Question", "good": " good", "bad": " bad", "topic": "topic"}
    table = pa.table({name: [f"{text} {row}" for row in rows] for name, text in columns.items()})
    pq.write_table(table, tmp_path / "pairs.parquet")
    printed = run_page("coming-from-a-hugging-face-data-set.md", tmp_path, capsys)
    shown = (DOCS / "coming-from-a-hugging-face-data-set.md").read_text(encoding="utf-8")
    for line in printed[0].splitlines()[:6]:
        assert line in shown
    assert Assignment.objects.submitted().count() == 40
    assert Task.objects.filter(project__slug="others", open=1).count() == 40
    prompts = Project.objects.get(slug="prompts").prompts
    assert (prompts.count(), prompts.filter(split="train").count()) == (40, 40)
