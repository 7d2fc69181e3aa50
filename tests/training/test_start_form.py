"""The form in the admin that starts a run: labelled, filled in sensibly, checked before it is queued."""

import json
import re

import pytest
from django.http import QueryDict
from django.test import Client
from django.urls import reverse

from labeling.models import Membership, Project
from tests.training.factories import admin, make_policy, make_project, make_reward, queue_run
from training.forms import FORMS
from training.forms.presets import presets_for
from training.forms.start_page import FOLDED_GROUPS, GROUPS, StartPage
from training.models import ModelVersion, Run

pytestmark = pytest.mark.django_db


def form_page(client: Client, **asked: str | int) -> str:
    answer = client.get(reverse("admin:training_run_add"), asked)
    assert answer.status_code == 200
    return answer.content.decode()


def chosen(page: str, name: str) -> str:
    """The value that stands in a select."""
    select = re.search(rf'<select name="{name}".*?</select>', page, re.DOTALL)
    assert select is not None
    found = re.search(r'<option value="([^"]*)" selected', select[0])
    return found[1] if found else ""


def typed(page: str, name: str) -> str:
    field = re.search(rf'<input[^>]* name="{name}"[^>]*>', page)
    assert field is not None
    value = re.search(r' value="([^"]*)"', field[0])
    return value[1] if value else ""


def in_project(version: ModelVersion, project: Project, **fields: object) -> ModelVersion:
    ModelVersion.objects.filter(pk=version.pk).update(project=project, **fields)
    version.refresh_from_db()
    return version


@pytest.mark.parametrize("kind", list(Run.Kind))
def test_every_option_of_every_kind_has_a_label_and_is_shown_once(kind: Run.Kind) -> None:
    form = FORMS[kind]()
    page = StartPage(form)
    shown = [field.bound.name for group in (*page.groups, *page.folded_groups) for field in group.fields]
    assert sorted(shown) == sorted(form.fields)
    for field in page.fields.values():
        assert field.option.effect or field.option.choices
    known = {name for each in Run.Kind for name in FORMS[each]().fields}
    assert {name for names in FOLDED_GROUPS.values() for name in names} <= known
    assert {name for names in GROUPS[kind].values() for name in names} <= set(form.fields)


@pytest.mark.parametrize("kind", list(Run.Kind))
def test_every_preset_holds_values_that_its_form_accepts(kind: Run.Kind) -> None:
    defaults = {name: field.initial for name, field in FORMS[kind]().fields.items()}
    presets = presets_for(kind, defaults)
    assert {preset.name for preset in presets} >= {"standard"}
    assert len({tuple(preset.values) for preset in presets}) == 1
    for preset in presets:
        form = FORMS[kind](preset.values)
        form.is_valid()
        assert not set(form.errors) & set(preset.values)


def test_the_form_has_labels_and_keeps_the_options_of_the_command_line(as_admin: Client) -> None:
    make_project()
    page = form_page(as_admin, kind="finetune")
    assert "KL target, nats" in page
    assert "3 stays close to the reference" in page
    assert "RLOO" in page
    assert "kl_target</label>" not in page
    assert str(FORMS["finetune"]().fields["kl_target"].help_text).startswith("target KL in nats")


def test_what_is_missing_is_said_without_options_and_commands(as_admin: Client) -> None:
    make_project()
    make_policy()
    url = reverse("admin:training_run_add") + "?kind=finetune"
    page = as_admin.post(url, {"project": "letters", "policy": "base"}).content.decode()
    assert "Name a reward model; a run “Train a reward model” makes one from annotations." in page
    assert "KL target, nats</label>" in page
    assert "Kl target" not in page
    asked = {"kind": "evaluate", "policy": "base", "best_of": "4", "reward": ""}
    page = as_admin.get(reverse("training:estimate"), asked).content.decode()
    assert "among the “Best of n” completions" in page
    assert "--" not in page.replace("<!--", "")
    assert "manage.py" not in page


def test_versions_are_those_of_the_project_the_one_in_production_first(as_admin: Client) -> None:
    ours, theirs = make_project("ours"), make_project("theirs")
    in_project(make_policy("old"), ours, stage="production")
    in_project(make_policy("new"), ours, parent=ModelVersion.objects.get(name="old"))
    in_project(make_policy("foreign"), theirs)
    in_project(make_reward("taste"), ours)
    in_project(make_reward("other-taste"), theirs)
    page = form_page(as_admin, kind="finetune", project="ours")
    assert (chosen(page, "policy"), chosen(page, "reward")) == ("old", "taste")
    assert 'label="In Ours"' in page
    page = form_page(as_admin, kind="evaluate", project="ours")
    assert (chosen(page, "policy"), chosen(page, "against")) == ("new", "old")


def test_choosing_another_project_brings_its_versions_but_keeps_what_somebody_chose(as_admin: Client) -> None:
    ours, theirs = make_project("ours"), make_project("theirs")
    in_project(make_policy("mine"), ours)
    in_project(make_policy("yours"), theirs)
    in_project(make_reward("my-taste"), ours)
    in_project(make_reward("your-taste"), theirs)
    make_reward("picked")
    asked = {"kind": "finetune", "project": "theirs", "project_before": "ours", "policy": "mine"}
    page = as_admin.get(reverse("training:estimate"), asked | {"reward": "my-taste"}).content.decode()
    assert (chosen(page, "policy"), chosen(page, "reward")) == ("yours", "your-taste")
    page = as_admin.get(reverse("training:estimate"), asked | {"reward": "picked"}).content.decode()
    assert (chosen(page, "policy"), chosen(page, "reward")) == ("yours", "picked")
    page = as_admin.get(reverse("training:estimate"), asked | {"project_before": "theirs"}).content.decode()
    assert "<select" not in page


def test_a_preset_and_single_fields_are_filled_in_by_the_address(as_admin: Client) -> None:
    make_project()
    page = form_page(as_admin, kind="finetune", preset="quick", tasks="50")
    assert (typed(page, "steps"), typed(page, "evaluate_every"), typed(page, "tasks")) == ("20", "5", "50")
    stored = re.search(r'<script id="preset-quick" type="application/json">(.*?)</script>', page)
    assert stored is not None
    assert json.loads(stored[1])["steps"] == 20


def test_a_clone_has_the_settings_of_its_run_under_a_name_of_its_own(as_admin: Client) -> None:
    make_project()
    make_policy()
    make_reward()
    run = queue_run(
        "finetune", project="letters", policy="base", reward="taste", steps=7, name="warm", kl_in="loss"
    )
    page = form_page(as_admin, clone=run.pk)
    assert f"{run}</a>" in page
    assert (typed(page, "steps"), typed(page, "name"), chosen(page, "kl_in")) == ("7", "warm-2", "loss")
    posted = dict(re.findall(r'<input type="(?:text|number|hidden)" name="(\w+)" value="([^"]*)"', page))
    posted |= {name: chosen(page, name) for name in re.findall(r'<select name="(\w+)"', page)}
    answer = as_admin.post(f"{reverse('admin:training_run_add')}?clone={run.pk}", posted)
    clone = Run.objects.exclude(pk=run.pk).get()
    assert answer.headers["Location"] == clone.get_absolute_url()
    assert clone.parameters == run.parameters | {"name": "warm-2"}


def test_a_clone_says_what_is_not_there_any_more(as_admin: Client) -> None:
    make_project()
    make_policy()
    make_reward()
    run = queue_run("finetune", project="letters", policy="base", reward="taste")
    Run.objects.update(parameters=run.parameters | {"reward": "gone"})
    page = form_page(as_admin, clone=run.pk)
    assert f"{run} used gone, which no longer exists" in page
    assert chosen(page, "reward") == ""


def test_a_run_of_a_project_one_may_not_see_is_not_cloned(client: Client) -> None:
    project = make_project()
    Project.objects.update(everybody=False)
    run = Run.objects.create(kind="sample", project=project)
    client.force_login(admin())
    assert client.get(reverse("admin:training_run_add"), {"clone": run.pk}).status_code == 404


def test_projects_and_versions_are_those_that_one_may_use(client: Client) -> None:
    closed, opened = make_project("closed"), make_project("opened")
    Project.objects.filter(pk=closed.pk).update(everybody=False)
    in_project(make_policy("secret"), closed)
    in_project(make_policy("known"), opened)
    person = admin()
    client.force_login(person)
    page = form_page(client, kind="sample", project="closed")
    assert "secret" not in page
    assert chosen(page, "project") == "opened"
    url = reverse("admin:training_run_add") + "?kind=sample"
    page = client.post(url, {"project": "closed", "policy": "secret"}).content.decode()
    assert "There is no “closed”; there are: opened." in page
    assert "There is no “secret”; there are: known." in page
    assert not Run.objects.exists()
    Membership.objects.create(project=closed, person=person)
    assert client.post(url, {"project": "closed", "policy": "secret"}).status_code == 302


def test_an_admin_of_one_project_starts_runs_there_alone_and_reads_no_files(client: Client) -> None:
    project = make_project()
    in_project(make_policy(), project)
    person = admin()
    person.groups.clear()
    Membership.objects.create(project=project, person=person, role=Membership.Role.ADMIN)
    client.force_login(person)
    url = reverse("admin:training_run_add") + "?kind=pretrain"
    page = client.post(url, {"kind": "pretrain", "source": "/etc/hostname"}).content.decode()
    assert "Choose a project: you may start runs in projects only." in page
    assert "Files on the server need the right to start runs in all projects" in page
    assert not Run.objects.exists()
    assert client.post(url, {"source": "stories", "project": "letters"}).status_code == 302


def test_what_would_fail_for_lack_of_answers_is_not_queued(as_admin: Client) -> None:
    project = make_project()
    make_policy()
    for kind in ("train_reward", "dpo", "supervised"):
        url = f"{reverse('admin:training_run_add')}?kind={kind}"
        page = as_admin.post(url, {"project": project.slug, "policy": "base"}).content.decode()
        assert "has no comparisons yet" in page
    assert not Run.objects.exists()


def test_a_policy_to_train_further_brings_its_own_size_whatever_stands_in_the_form(as_admin: Client) -> None:
    make_policy()
    url = reverse("admin:training_run_add") + "?kind=pretrain"
    as_admin.post(url, {"source": "stories", "policy": "base", "preset": "small", "tokenizer": "char"})
    run = Run.objects.get()
    assert run.policy is not None
    assert "preset" not in run.parameters


def test_several_judges_are_ticked_and_stored_as_one_text(as_admin: Client) -> None:
    make_project()
    make_policy()
    make_policy("other", seed=1)
    make_reward()
    url = reverse("admin:training_run_add") + "?kind=evaluate"
    asked = {"policy": "other", "against": "base", "project": "letters", "judge": ["people", "taste"]}
    page = as_admin.post(url, asked | {"prompts": "0"}).content.decode()
    assert len(re.findall(r'name="judge"[^>]* checked', page)) == 2
    as_admin.post(url, asked)
    assert Run.objects.get().parameters["judge"] == "people,taste"
    page = form_page(as_admin, clone=Run.objects.get().pk)
    assert len(re.findall(r'name="judge"[^>]* checked', page)) == 2


def test_a_page_sends_what_a_command_does_not(as_admin: Client) -> None:
    sent = QueryDict("policy=base&preset=small&minutes=3")
    assert "preset" not in FORMS["pretrain"].normalise_page_data(sent)
    assert FORMS["finetune"].normalise_page_data(sent) == sent


def test_the_former_names_of_presets_and_of_the_reward_function_are_accepted(as_admin: Client) -> None:
    make_project()
    make_policy()
    make_reward()
    assert typed(form_page(as_admin, kind="finetune", preset="try"), "steps") == "20"
    run = queue_run("finetune", project="letters", policy="base", reward="taste", gold="story-taste")
    assert run.parameters["gold"] == "story-reward-function"
