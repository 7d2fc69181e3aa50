import pytest

from labeling.models import Generator, Prompt, Sample, Task
from labeling.prompts import add_prompts
from labeling.tasks import create_tasks
from tests.labeling.objects import make_project

pytestmark = pytest.mark.django_db


def test_prompts_are_stored_once_and_come_back_in_order() -> None:
    project = make_project()
    old = add_prompts(project, ["b"], "heldout")
    rows = add_prompts(project, ["a", "b", "", "a"])
    assert [row.text for row in rows] == ["a", "b", ""]
    assert rows[1] == old[0]
    assert rows[1].split == "heldout"
    assert Prompt.objects.count() == 3


def test_two_projects_may_have_the_same_prompt() -> None:
    assert add_prompts(make_project("one"), ["a"]) != add_prompts(make_project("two"), ["a"])


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="split"):
        add_prompts(make_project(), ["a"], "validation")


def test_a_prompt_that_cannot_be_stored_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        add_prompts(make_project(), ["fine", "a\x00b"])
    assert not Prompt.objects.exists()


def test_each_prompt_becomes_a_task_with_its_samples() -> None:
    project = make_project(annotations_per_task=3)
    first, second = add_prompts(project, ["one", "two"])
    writer = Generator.objects.create(name="writer")
    tasks = create_tasks(
        project=project,
        generator=writer,
        completions={first: ["a", "b"], second: ["c", "d", "e"]},
        parameters={"temperature": 0.7},
    )
    assert [task.prompt for task in tasks] == [first, second]
    assert [
        [sample.text for sample in task.samples.order_by("task_samples__position")] for task in tasks
    ] == [
        ["a", "b"],
        ["c", "d", "e"],
    ]
    assert {(task.need, task.open) for task in Task.objects.all()} == {(3, 3)}
    assert {sample.parameters["temperature"] for sample in Sample.objects.all()} == {0.7}


@pytest.mark.parametrize("texts", [["only one"], [str(number) for number in range(10)]])
def test_a_number_of_samples_that_nobody_can_rank_is_refused(texts: list[str]) -> None:
    project = make_project()
    good, bad = add_prompts(project, ["good", "bad"])
    writer = Generator.objects.create(name="writer")
    with pytest.raises(ValueError, match="takes 2 to 9"):
        create_tasks(project=project, generator=writer, completions={good: ["a", "b"], bad: texts})
    assert not Sample.objects.exists()


def test_a_prompt_of_another_project_is_refused() -> None:
    [prompt] = add_prompts(make_project("other"), ["a"])
    writer = Generator.objects.create(name="writer")
    with pytest.raises(ValueError, match="does not belong"):
        create_tasks(project=make_project(), generator=writer, completions={prompt: ["a", "b"]})
