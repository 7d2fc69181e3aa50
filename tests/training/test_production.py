"""What is in production is what is used: by commands and by clients of the API."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from tests.training.factories import admin, make_policy, make_project, make_reward
from training.models import ModelVersion
from training.registry import decisions
from training.runs import form_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def base() -> ModelVersion:
    """In production in a project, with a newer version beside it."""
    base = make_policy()
    decisions.promote(base, project=make_project(), by=None, reason="")
    make_policy("newer", seed=1)
    return base


def generate(*arguments: str) -> str:
    out = StringIO()
    call_command("generate", "ab", *arguments, "--seed", "1", "--max-new-tokens", "12", stdout=out)
    return out.getvalue()


def test_generate_lets_the_version_in_production_write(base: ModelVersion) -> None:
    assert generate("--project", "letters") == generate("--policy", "base")
    assert generate("--project", "letters") != generate("--policy", "newer")
    assert generate() == generate("--policy", "newer")


def test_generate_takes_a_policy_or_a_project(base: ModelVersion) -> None:
    with pytest.raises(CommandError, match="--project: name either a policy or a project"):
        generate("--project", "letters", "--policy", "newer")
    make_project("digits")
    with pytest.raises(CommandError, match="--policy: nothing is in production in “digits” yet"):
        generate("--project", "digits")


def test_samples_are_written_by_what_is_in_production(base: ModelVersion) -> None:
    form = form_for("sample", {"project": "letters", "tasks": 3})
    assert form.is_valid(), form.errors
    assert form.related_objects()["policy"] == base
    assert form.parameters()["policy"] == "base"
    make_project("digits")
    refused = form_for("sample", {"project": "digits"})
    assert "nothing is in production" in str(refused.errors["policy"])


def test_export_writes_the_version_in_production(base: ModelVersion, tmp_path: Path) -> None:
    out = StringIO()
    with pytest.raises(CommandError, match="POLICY: name a policy, or a --project"):
        call_command("export_model", str(tmp_path / "out"))
    call_command("export_model", "--project", "letters", str(tmp_path / "out"), stdout=out)
    assert out.getvalue().startswith("base exported to ")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["model_type"]


def test_the_api_tells_what_is_in_production(base: ModelVersion) -> None:
    make_reward()
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.create(user=admin()).key}")

    def names(query: str) -> list[str]:
        answer = client.get(f"/api/models/?{query}")
        assert answer.status_code == 200
        return [row["name"] for row in answer.json()["results"]]

    assert names("project=letters&stage=production") == ["base"]
    assert names("project=digits") == []
    assert names("kind=reward") == ["taste"]
    assert set(names("stage=candidate")) == {"newer", "taste"}
    assert client.get("/api/models/base/").json()["project"] == "letters"
    refused = client.get("/api/models/?stage=best")
    assert refused.status_code == 400
    assert "best" in str(refused.json()["stage"])
