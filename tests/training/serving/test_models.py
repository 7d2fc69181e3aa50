"""Which models a server has, under which names, and for whom."""

import openai as openai_errors
import pytest
from openai import OpenAI

from labeling.models import Membership
from tests.training.factories import admin, annotator, make_project
from tests.training.serving.conftest import RunningServer, client, publish
from training import serve_client
from training.models import ModelVersion


def text(openai: OpenAI, model: str | None = None) -> str:
    answer = openai.completions.create(model=model or "", prompt="the", seed=1, max_tokens=8)
    return f"{answer.model}:{answer.choices[0].text}"


def test_the_list_has_the_versions_and_the_aliases_of_production(openai: OpenAI) -> None:
    publish("poet", seed=1, project=make_project("poems"), stage="production")
    publish("gone", stage="archived")
    models = openai.models.list().data
    assert [model.id for model in models] == ["production", "poems/production", "poet", "base"]
    assert models[0].model_extra == {"root": "poet", "parent": None}
    assert models[2].owned_by == "poems"
    assert openai.models.retrieve("poems/production").id == "poems/production"


def test_the_default_is_the_version_in_production_and_a_promotion_needs_no_restart(openai: OpenAI) -> None:
    first = publish("first", seed=1, project=make_project("poems"), stage="production")
    before = text(openai)
    assert before.startswith("first:")
    assert before == text(openai, "production") == text(openai, "poems/production") == text(openai, "first")
    ModelVersion.objects.filter(pk=first.pk).update(stage="candidate")
    publish("second", seed=2, project=first.project, stage="production")
    after = text(openai)
    assert after.startswith("second:")
    assert after.partition(":")[2] != before.partition(":")[2]


def test_where_two_projects_have_one_in_production_the_default_is_ambiguous(openai: OpenAI) -> None:
    publish("poet", project=make_project("poems"), stage="production")
    publish("liar", seed=1, project=make_project("tales"), stage="production")
    with pytest.raises(openai_errors.NotFoundError, match="poems/production, tales/production"):
        text(openai)
    assert text(openai, "tales/production").startswith("liar:")


def test_an_archived_or_removed_or_unknown_version_is_not_there(openai: OpenAI) -> None:
    version = publish("poet")
    assert text(openai, "poet").startswith("poet:")
    version.stage = "archived"
    version.save()
    for name in ("poet", "nobody", "production", "poems/production", "base\x00"):
        with pytest.raises(openai_errors.NotFoundError) as error:
            text(openai, name)
        assert error.value.code == "model_not_found"


def test_files_that_were_changed_are_an_error_and_are_tried_again(openai: OpenAI) -> None:
    good = publish("poet")
    ModelVersion.objects.filter(pk=good.pk).update(artifact_hash="0" * 64)
    with pytest.raises(openai_errors.InternalServerError, match="were changed"):
        text(openai, "poet")
    good.save()
    assert text(openai, "poet").startswith("poet:")


def test_a_key_is_needed_and_the_right_to_view_versions(openai: OpenAI, server: RunningServer) -> None:
    for key in ("unknown", "site:hone:forged:key"):
        with client(server, key) as other, pytest.raises(openai_errors.AuthenticationError):
            other.models.list()
    with client(server, annotator()) as other, pytest.raises(openai_errors.PermissionDeniedError) as error:
        other.models.list()
    assert error.value.code == "permission_denied"


def test_members_see_the_versions_of_their_projects_alone(openai: OpenAI, server: RunningServer) -> None:
    project = make_project("poems")
    publish("poet", project=project)
    person = annotator("eve")
    Membership.objects.create(project=project, person=person, role="reviewers")
    with client(server, person) as other:
        assert [model.id for model in other.models.list()] == ["poet"]
        with pytest.raises(openai_errors.NotFoundError):
            text(other, "base")


def test_a_person_who_was_deactivated_is_refused(openai: OpenAI, server: RunningServer) -> None:
    person = admin("eve")
    with client(server, person) as other:
        assert other.models.list().data
        person.is_active = False
        person.save()
        with pytest.raises(openai_errors.AuthenticationError):
            other.models.list()


def test_the_site_itself_has_a_key_for_every_version(openai: OpenAI, server: RunningServer) -> None:
    publish("poet", project=make_project("poems"))
    with client(server, serve_client.site_key()) as site:
        assert {model.id for model in site.models.list()} == {"poet", "base"}
