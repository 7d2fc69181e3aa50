"""Admins read what people answered, whatever the kind of feedback."""

import pytest
from django.test import Client
from django.urls import reverse

from labeling import queue
from labeling.feedback import Answer
from labeling.models import Annotation
from labeling.preferences import create_snapshot
from tests.labeling.objects import admin, annotator, claimed, make_project, make_tasks

pytestmark = pytest.mark.django_db


def page_of(client: Client, stored: Annotation) -> str:
    client.force_login(admin())
    response = client.get(reverse("admin:labeling_annotation_change", args=[stored.pk]))
    assert response.status_code == 200
    return response.content.decode()


def test_a_rewriting_is_shown_with_the_sample_it_was_made_from(client: Client) -> None:
    project = make_project(feedback="rewrite", samples_per_task=1)
    make_tasks(project, samples=1)
    given = Answer(text="Es war einmal <b>ein</b> Fuchs.", edited=1)
    page = page_of(client, queue.submit(claimed(annotator(), project), given, client_key="k"))
    assert "Es war einmal &lt;b&gt;ein&lt;/b&gt; Fuchs." in page
    assert ">A0</a>" in page


def test_a_graded_pair_is_shown_with_the_grade_of_each(client: Client) -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    make_tasks(project, samples=2)
    page = page_of(client, queue.submit(claimed(annotator(), project), Answer(grade=2), client_key="k"))
    assert "<p>2</p>" in page
    assert "<p>-2</p>" in page


def test_a_snapshot_says_how_many_demonstrations_it_holds(client: Client) -> None:
    project = make_project(feedback="rewrite", samples_per_task=1)
    make_tasks(project, samples=1)
    queue.submit(claimed(annotator(), project), Answer(text="mine"), client_key="k")
    snapshot = create_snapshot(project)
    client.force_login(admin())
    page = client.get(reverse("admin:labeling_preferencesnapshot_change", args=[snapshot.pk]))
    assert "Number of demonstrations" in page.content.decode()
    assert "&quot;completion&quot;: &quot;mine&quot;" in page.content.decode()
