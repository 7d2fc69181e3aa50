"""Conversations as prompts: stored by every door with their messages, and kept in exports and snapshots."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from labeling import queue
from labeling.feedback import Answer
from labeling.imports import ImportResult
from labeling.models import Generator, Project, Prompt
from labeling.preferences import comparisons, create_snapshot
from labeling.prompts import add_prompts
from labeling.tasks import create_tasks
from tests.labeling.importing import import_text, json_lines
from tests.labeling.objects import admin, annotator, claimed, make_project
from training.formats.messages import Message
from training.formats.prompt_completions import parse_prompt
from training.rlhf.feedback.preference_files import read_preferences
from training.rlhf.feedback.preferences import Comparison

pytestmark = pytest.mark.django_db

ASKED: list[Message] = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
TEXT = "Be kind.\n\nHuman: Hi\n\nAssistant:"
HELLO: Message = {"role": "assistant", "content": "Hello"}


def bring(*rows: object, **settings: Any) -> ImportResult:
    project = make_project(**{"feedback": "pair", "samples_per_task": 2, **settings})
    return import_text(project, json_lines(*rows))


def stored() -> list[tuple[str, Any]]:
    return list(Prompt.objects.values_list("text", "messages"))


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": ASKED, "chosen": [HELLO], "rejected": [{"role": "assistant", "content": "Hey"}]},
        {"messages": ASKED, "responses": [HELLO, "Hey"]},
        {"conversations": [*ASKED, HELLO], "response": "Hey"},
        {"prompt": json.dumps(ASKED), "response_1": "Hello", "response_2": "Hey"},
        {"prompt": TEXT, "responses": [" Hello", " Hey"]},
        {"prompt": TEXT, "messages": ASKED, "responses": [" Hello", " Hey"]},
        {"chosen": [*ASKED, HELLO], "rejected": [*ASKED, {"role": "gpt", "content": "Hey"}]},
        {"chosen": f"{TEXT} Hello", "rejected": f"{TEXT} Hey"},
        {"prompt": "Hi", "chosen": [*ASKED, HELLO], "rejected": [*ASKED, {"role": "bot", "content": "Hey"}]},
    ],
)
def test_an_import_stores_messages_and_the_text_of_the_prompt(row: dict[str, Any]) -> None:
    assert bring(row).problems == []
    assert stored() == [(TEXT, ASKED)]
    [task] = Prompt.objects.get().tasks.all()
    assert [sample.text for sample in task.samples.order_by("task_samples__position")] == [" Hello", " Hey"]


def test_the_cells_of_a_table_may_hold_conversations() -> None:
    cell = json.dumps(ASKED).replace('"', '""')
    import_text(make_project(), f'messages,split\n"{cell}",train\n', "t.csv")
    assert stored() == [(TEXT, ASKED)]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"prompt": []}, "empty"),
        ({"messages": [HELLO]}, '"messages": no prompt, and no message before the assistant'),
        ({"messages": [1, 2]}, '"messages": message 1 is not an object'),
        (
            {"chosen": [{"role": "wizard"}], "rejected": [*ASKED, HELLO]},
            '"chosen": message 1 has the unknown role',
        ),
        ({"messages": [{"role": "wizard", "content": "x"}]}, 'message 1 has the unknown role "wizard"'),
        ({"prompt": [*ASKED, HELLO]}, "the prompt ends with a message of the role assistant"),
        ({"prompt": [{"role": "user", "content": [{"type": "image"}]}]}, 'the type "image"'),
        (
            {"chosen": "Human: Hi", "rejected": "Human: Hi\n\nAssistant: no"},
            '"chosen" does not answer anything',
        ),
        ({"chosen": f"{TEXT} a", "rejected": "\n\nHuman: Bye\n\nAssistant: b"}, "no common beginning"),
        ({"messages": [{"role": "user", "content": "a\x00b"}]}, "a NUL character"),
    ],
)
def test_an_import_says_what_is_wrong_with_a_conversation(row: dict[str, Any], says: str) -> None:
    [problem] = bring(row).problems
    assert says in str(problem).replace("“", '"').replace("”", '"')


def add(path: Path, *rows: object, **options: Any) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    call_command("add_prompts", "stories", file=path, heldout=0.0, **options)


def test_the_command_adds_conversations(tmp_path: Path) -> None:
    make_project()
    tool = [*ASKED, {"role": "tool", "content": "42"}]
    add(
        tmp_path / "a.jsonl",
        {"prompt": ASKED},
        {"messages": [*ASKED, HELLO]},
        {"prompt": TEXT.strip()},
        {"conversations": [{"from": "human", "value": "Bye"}]},
        {"prompt": "Once"},
        {"prompt": parse_prompt(tool).text, "messages": tool},
    )
    assert stored() == [
        (TEXT, ASKED),
        ("\n\nHuman: Bye\n\nAssistant:", [{"role": "user", "content": "Bye"}]),
        ("Once", None),
        ("Be kind.\n\nHuman: Hi\n\nTool: 42\n\nAssistant:", tool),
    ]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (
            {"prompt": [*ASKED, HELLO]},
            "row 2: “prompt”: the prompt ends with a message of the role assistant",
        ),
        ({"messages": []}, "row 2: “messages” is empty"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "row 2: .*wizard"),
        ({"messages": [HELLO]}, "row 2: “messages”: no prompt, and no message before the assistant"),
        ({"prompt": 3}, "row 2: “prompt” is not a string or a list of messages"),
        ({"messages": [{"role": "user", "content": "a\x00b"}]}, "row 2: “messages” holds a NUL character"),
        ({"prompt": "a\ud800b"}, "row 2: “prompt” holds half a character"),
    ],
)
def test_the_command_stores_nothing_of_a_file_with_a_bad_conversation(
    tmp_path: Path, row: object, says: str
) -> None:
    make_project()
    with pytest.raises(CommandError, match=says):
        add(tmp_path / "a.jsonl", {"prompt": ASKED}, row)
    assert stored() == []


def test_the_command_cuts_texts_and_no_conversations(tmp_path: Path) -> None:
    make_project()
    add(tmp_path / "a.jsonl", {"prompt": "Once upon a time"}, words=2)
    assert stored() == [("Once upon", None)]
    with pytest.raises(CommandError, match="row 1: a conversation cannot be cut; leave out --words"):
        add(tmp_path / "b.jsonl", {"prompt": ASKED}, words=2)


def test_a_prompt_stored_as_text_gets_its_messages_when_it_is_added_again() -> None:
    project = make_project()
    add_prompts(project, [TEXT])
    [prompt] = add_prompts(project, [parse_prompt(ASKED)])
    assert prompt.messages == tuple(ASKED)
    assert stored() == [(TEXT, ASKED)]


def test_dialogues_that_were_stored_as_texts_become_conversations_on_upgrading() -> None:
    texts = [TEXT, "Once", "\n\nHuman: \n\nAssistant:", "Human: Hi\n\nAssistant:", f"{TEXT} Sure,"]
    add_prompts(make_project(), texts)
    migration = import_module("labeling.migrations.0012_stored_dialogues")
    migration.add_messages(apps, None)
    assert stored() == [(TEXT, ASKED), *((text, None) for text in texts[1:])]


@pytest.mark.parametrize(
    ("form", "messages"),
    [
        ({"text": "", "messages": json.dumps(ASKED)}, ASKED),
        ({"text": TEXT, "messages": ""}, ASKED),
        ({"text": "Once", "messages": ""}, None),
    ],
)
def test_the_admin_stores_a_conversation(form: dict[str, str], messages: object) -> None:
    client = Client()
    client.force_login(admin())
    project = make_project()
    client.post("/admin/labeling/prompt/add/", {"project": project.pk, "split": "train", **form})
    [prompt] = Prompt.objects.all()
    assert (prompt.text, prompt.messages) == (TEXT if messages else "Once", messages)
    page = client.get(f"/admin/labeling/prompt/{prompt.pk}/change/").text
    assert ("Be kind." in page) == bool(messages)


def test_the_admin_refuses_a_bad_conversation() -> None:
    client = Client()
    client.force_login(admin())
    form = {"project": make_project().pk, "split": "train", "text": ""}
    for messages, says in (("[]", "is empty"), ('[{"role": "wizard", "content": "x"}]', "unknown role")):
        page = client.post("/admin/labeling/prompt/add/", {**form, "messages": messages}).text
        assert says in page
    assert stored() == []


@pytest.fixture
def compared() -> Project:
    """A project with one comparison of two candidate turns, and one of texts."""
    project = make_project(feedback="pair", samples_per_task=2)
    prompts = add_prompts(project, [parse_prompt(ASKED), "Once"])
    writer = Generator.objects.create(name="writer")
    for prompt in prompts:
        create_tasks(project=project, generator=writer, completions={prompt: [" Hello", "Hey"]})
    user = annotator()
    for key in "ab":
        assignment = claimed(user, project)
        better = 1 if assignment.shown_samples()[1].text == " Hello" else -1
        queue.submit(assignment, Answer(grade=better), client_key=key)
    return project


def test_exports_and_snapshots_keep_the_messages_and_are_read_back(compared: Project, tmp_path: Path) -> None:
    rows = list(comparisons(compared))
    assert [row.get("messages") for row in rows] == [ASKED, None]
    assert "messages" not in rows[1]
    assert list(create_snapshot(compared).comparisons()) == rows
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert shape(read_preferences(path)[0]) == [
        (TEXT, " Hello", "Hey", tuple(ASKED)),
        ("Once", " Hello", "Hey", None),
    ]


def test_the_api_exports_what_trl_reads(compared: Project, tmp_path: Path) -> None:
    ada = admin()
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.create(user=ada).key}")
    response: Any = client.get("/api/projects/stories/comparisons/?conversational=true")
    content = response.getvalue()
    first, second = map(json.loads, content.splitlines())
    assert (first["prompt"], second["prompt"]) == (ASKED, [{"role": "user", "content": "Once"}])
    for row in (first, second):
        assert row["chosen"] == [HELLO]
        assert row["rejected"] == [{"role": "assistant", "content": "Hey"}]
        assert "messages" not in row
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(content)
    assert shape(read_preferences(path)[0])[0] == (TEXT, " Hello", " Hey", tuple(ASKED))
    plain: Any = client.get("/api/projects/stories/comparisons/")
    assert json.loads(plain.getvalue().splitlines()[0])["prompt"] == TEXT
    assert client.get("/api/projects/stories/comparisons/?conversational=perhaps").status_code == 400


def shape(pairs: list[Comparison]) -> list[tuple[Any, ...]]:
    return [(pair.prompt, pair.chosen, pair.rejected, pair.messages) for pair in pairs]
