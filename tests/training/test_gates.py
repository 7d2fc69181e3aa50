"""Gates: opened in one click, answered blindly, closed by what people say."""

import pytest
from django.contrib.auth.models import User

from labeling import queue
from labeling.feedback import Answer
from labeling.head_to_head import (
    BLIND_TASK_PRIORITY,
    DECIDED_TASK_PRIORITY,
    least_compared_prompts,
    observations,
)
from labeling.models import Annotation, Assignment, Project, Task
from labeling.prompts import add_prompts
from labeling.quality.adjudication import adjudicate
from labeling.tasks import create_blind_tasks
from tests.labeling.objects import admin, annotator
from tests.training.factories import make_policy, make_project
from training.execution.executor import execute
from training.models import Gate, ModelVersion, Run
from training.registry import gates
from training.registry.gate_evidence import evidence_of, generators_of

pytestmark = pytest.mark.django_db

OPEN, MET, REFUSED, UNDECIDED, WITHDRAWN = (
    Gate.Outcome.OPEN, Gate.Outcome.MET, Gate.Outcome.REFUSED, Gate.Outcome.UNDECIDED, Gate.Outcome.WITHDRAWN
)  # fmt: skip


def version(name: str, project: Project | None, *, in_production: bool = False) -> ModelVersion:
    """A policy without files: nothing here reads them."""
    return ModelVersion.objects.publish(
        name=name,
        kind=ModelVersion.Kind.POLICY,
        project=project,
        artifact=name,
        artifact_hash="0" * 64,
        stage=ModelVersion.Stage.PRODUCTION if in_production else ModelVersion.Stage.CANDIDATE,
    )


def two_versions(*, heldout: int = 20) -> tuple[Project, ModelVersion, ModelVersion]:
    """A project with `old` in production and the candidate `new`."""
    project = make_project(heldout=heldout)
    return project, version("old", project, in_production=True), version("new", project)


def make_open_gate(*, heldout: int = 20, need: int = 1) -> Gate:
    """An open gate whose run has opened a task for each held-out prompt."""
    project, _, new = two_versions(heldout=heldout)
    gate = gates.open_gate(new, project=project, by=admin())
    open_tasks(gate, need=need)
    return gate


def open_tasks(gate: Gate, count: int = 1000, *, need: int = 1) -> None:
    """What the gate's run does: blind tasks on the prompts that were compared least."""
    ours, theirs = generators_of(gate)
    asked = set(Task.objects.filter(project=gate.project).values_list("prompt", flat=True))
    prompts = [
        prompt for prompt in least_compared_prompts(gate.project, ours, theirs) if prompt.pk not in asked
    ]
    texts = {ours: " good", theirs: " poor"}
    create_blind_tasks(
        project=gate.project,
        completions=[(prompt, texts) for prompt in prompts[:count]],
        need=need,
        priority=BLIND_TASK_PRIORITY,
    )
    Run.objects.filter(gates=gate).update(status=Run.Status.SUCCEEDED)


def answer(gate: Gate, who: User, says: str) -> None:
    """A task for each letter: + prefers the candidate, - the other; = a tie, x both bad, s skips."""
    for letter in says:
        assignment = queue.claim(annotator=who, project=gate.project)
        assert assignment is not None
        submit_answer(assignment, letter)


def submit_answer(assignment: Assignment, letter: str) -> None:
    if letter == "s":
        queue.skip(assignment)
        return
    queue.submit(assignment, answer_for(assignment, letter), client_key="k")


def answer_for(assignment: Assignment, letter: str) -> Answer:
    if letter == "x":
        return Answer(all_bad=True)
    better = {"+": " good", "-": " poor", "=": ""}[letter]
    texts = [sample.text for sample in assignment.shown_samples()]
    return Answer(ranks=tuple(1 if text == better or not better else 2 for text in texts))


# -- Opening ----------------------------------------------------------------------------------------------


def test_one_call_starts_the_run_that_asks_people() -> None:
    project, old, new = two_versions(heldout=20)
    ada = admin()
    gate = gates.open_gate(new, project=project, by=ada)
    assert (gate.candidate, gate.against, gate.outcome, gate.max_prompts) == (new, old, OPEN, 20)
    assert gate.run is not None
    assert (gate.run.kind, gate.run.owner, gate.run.project) == (Run.Kind.EVALUATE, ada, project)
    wanted = {"policy": "new", "against": "old", "judge": "people", "tasks": 20}
    assert gate.run.parameters.items() >= wanted.items()


def test_opened_twice_it_is_one_gate() -> None:
    project, _, new = two_versions()
    first = gates.open_gate(new, project=project, by=None)
    assert gates.open_gate(new, project=project, by=None) == first
    assert Run.objects.count() == 1


def test_its_texts_are_as_long_as_those_the_candidate_learned_to_write() -> None:
    project, _, new = two_versions()
    new.run = Run.objects.create(
        kind=Run.Kind.FINETUNE, parameters={"max_new_tokens": 17, "temperature": 0.8}
    )
    new.save()
    gate = gates.open_gate(new, project=project, by=None)
    assert gate.run is not None
    assert gate.run.parameters["max_new_tokens"] == 17
    assert gate.run.parameters["temperature"] == 0.8


def test_what_cannot_be_compared_is_refused_in_one_line() -> None:
    project, old, new = two_versions(heldout=0)
    other = make_project("other")
    reward = ModelVersion.objects.publish(
        name="taste", kind=ModelVersion.Kind.REWARD, project=project, artifact="taste", artifact_hash="0" * 64
    )
    archived = version("gone", project)
    archived.stage = ModelVersion.Stage.ARCHIVED
    archived.save()
    for candidate, where, why in (
        (new, project, "no held-out prompts"),
        (old, project, "in production already"),
        (new, other, "belongs to “Letters”"),
        (version("free", None), other, "Nothing is in production in “Other”"),
        (reward, project, "reward model"),
        (archived, project, "archived"),
    ):
        with pytest.raises(gates.NotOpened, match=why):
            gates.open_gate(candidate, project=where, by=None)
    assert not Gate.objects.exists()
    assert not Run.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_both_write_and_annotators_decide() -> None:
    """From the click to the decision, with real models."""
    project = make_project(heldout=10)
    for name, seed in (("old", 0), ("new", 1)):
        made = make_policy(name, seed=seed)
        made.project = project
        made.stage = ModelVersion.Stage.PRODUCTION if name == "old" else ModelVersion.Stage.CANDIDATE
        made.save()
    new = ModelVersion.objects.get(name="new")
    gate = gates.open_gate(new, project=project, by=None)
    assert gate.run is not None
    assert execute(gate.run), gate.run.error
    ann = annotator()
    while assignment := queue.claim(annotator=ann, project=project):
        worse = [sample.generator.name != "new" for sample in assignment.shown_samples()]
        queue.submit(assignment, Answer(ranks=tuple(1 + each for each in worse)), client_key="k")
    assert gates.is_met(new, project)
    gate.refresh_from_db()
    assert (gate.outcome, evidence_of(gate).compared) == (MET, 8)


# -- Closing ----------------------------------------------------------------------------------------------


def test_it_closes_as_soon_as_it_is_clear() -> None:
    gate, ann = make_open_gate(), annotator()
    answer(gate, ann, "+++++++")
    assert gates.close_if_decided(gate).outcome == OPEN
    assert not gates.is_met(gate.candidate, gate.project)
    answer(gate, ann, "+")
    assert gates.close_decided() == 1
    gate.refresh_from_db()
    assert gate.outcome == MET
    assert gate.closed_at is not None
    assert gates.is_met(gate.candidate, gate.project)
    assert gates.close_decided() == 0


def test_it_is_refused_where_people_prefer_what_is_in_production() -> None:
    gate = make_open_gate()
    answer(gate, annotator(), "--------")
    assert gates.close_if_decided(gate).outcome == REFUSED
    assert not gates.is_met(gate.candidate, gate.project)


def test_it_is_undecided_when_all_is_answered_and_nothing_is_clear() -> None:
    gate = make_open_gate(heldout=6)
    answer(gate, annotator(), "+-+-+=")
    assert gates.close_if_decided(gate).outcome == UNDECIDED
    found = evidence_of(gate)
    assert (found.wins, found.losses, found.ties, found.compared) == (3, 2, 1, 6)


def test_looked_at_late_it_is_decided_as_if_looked_at_always() -> None:
    gate = make_open_gate()
    answer(gate, annotator(), "++++++++----------")
    assert gates.close_if_decided(gate).outcome == MET
    assert evidence_of(gate).compared == 8


def test_while_its_run_is_writing_it_stays_open() -> None:
    project, _, new = two_versions()
    gate = gates.open_gate(new, project=project, by=None)
    assert gates.close_if_decided(gate).outcome == OPEN
    Run.objects.update(status=Run.Status.FAILED)
    assert gates.close_if_decided(gate).outcome == OPEN
    assert gates.can_ask_more(Gate.objects.get())


def test_figures_of_a_closed_gate_stand_whatever_comes_later() -> None:
    gate, ann = make_open_gate(), annotator()
    answer(gate, ann, "++++++++")
    gates.close_if_decided(gate)
    answer(gate, ann, "-----")
    Annotation.objects.all().delete()
    assert gates.close_if_decided(gate).outcome == MET
    assert evidence_of(gate).points == [1.0] * 8
    assert gates.is_met(gate.candidate, gate.project)
    with pytest.raises(gates.NotOpened, match="decided"):
        gates.open_gate(gate.candidate, project=gate.project, by=None)


def test_tasks_that_nobody_began_come_after_all_others_once_it_is_decided() -> None:
    gate = make_open_gate(heldout=12)
    answer(gate, annotator(), "++++++++")
    gates.close_if_decided(gate)
    assert list(Task.objects.filter(open=1).values_list("priority", flat=True)) == [DECIDED_TASK_PRIORITY] * 4


def test_two_that_look_at_once_close_it_once() -> None:
    gate = make_open_gate()
    answer(gate, annotator(), "++++++++")
    copies = [Gate.objects.get(pk=gate.pk) for _ in range(2)]
    closed = [gates.close_if_decided(copy).closed_at for copy in copies]
    assert closed[0] == closed[1]


# -- What counts ------------------------------------------------------------------------------------------


def test_a_task_counts_when_as_many_answered_as_it_needs() -> None:
    gate = make_open_gate(heldout=1, need=2)
    answer(gate, annotator("ann"), "+")
    assert evidence_of(gate).points == []
    answer(gate, annotator("bob"), "-")
    found = evidence_of(gate)
    assert (found.points, found.answers, found.annotators, found.ties) == ([0.5], 2, 2, 1)


def test_all_bad_answers_and_skips_are_counted_and_prefer_nothing() -> None:
    gate = make_open_gate(heldout=4)
    answer(gate, annotator("ann"), "xs+=")
    found = evidence_of(gate)
    assert (found.points, found.all_bad, found.skipped) == ([1.0, 0.5], 1, 1)
    assert (found.completed_tasks, found.waiting, found.open) == (3, 1, 1)
    answer(gate, annotator("bob"), "-")
    assert evidence_of(gate).points == [1.0, 0.5, 0.0]  # in the order in which they were completed
    assert gates.close_if_decided(gate).outcome == UNDECIDED


def test_an_answer_that_is_revised_counts_as_it_is_now() -> None:
    gate, ann = make_open_gate(heldout=3), annotator()
    answer(gate, ann, "+-")
    first = Assignment.objects.order_by("finished")[0]
    queue.revise(first, answer_for(first, "="), client_key="again")
    assert evidence_of(gate).points == [0.5, 0.0]


def test_an_answer_that_is_deleted_while_it_is_open_counts_no_more() -> None:
    gate, ann = make_open_gate(heldout=3), annotator()
    answer(gate, ann, "+-")
    gone = Assignment.objects.order_by("finished")[0]
    task = gone.task
    gone.delete()
    Task.objects.filter(pk=task.pk).update(open=1)
    assert evidence_of(gate).points == [0.0]


def test_a_last_word_on_a_task_does_not_replace_the_blind_answers() -> None:
    gate = make_open_gate(heldout=1, need=2)
    answer(gate, annotator("ann"), "+")
    answer(gate, annotator("bob"), "-")
    adjudicate(task=Task.objects.get(), chosen=Assignment.objects.get(annotator__username="ann"))
    assert evidence_of(gate).points == [0.5]


def test_a_prompt_counts_once() -> None:
    gate, ann = make_open_gate(heldout=2), annotator()
    answer(gate, ann, "++")
    ours, theirs = generators_of(gate)
    [first, _] = least_compared_prompts(gate.project, ours, theirs)
    texts = {ours: " good", theirs: " poor"}
    create_blind_tasks(project=gate.project, completions=[(first, texts)], priority=BLIND_TASK_PRIORITY)
    answer(gate, ann, "-")
    assert [each.points for each in observations(gate.project, ours, theirs)] == [1.0, 1.0]


# -- Asking more, withdrawing ------------------------------------------------------------------------------


def test_asking_more_goes_on_where_it_was_undecided() -> None:
    gate, ann = make_open_gate(heldout=6), annotator()
    answer(gate, ann, "++++++")
    assert gates.close_if_decided(gate).outcome == UNDECIDED
    with pytest.raises(gates.NotOpened, match="all 6 held-out prompts"):
        gates.ask_more(gate, by=None)
    add_prompts(gate.project, [f"another {number}" for number in range(5)], "heldout")
    with pytest.raises(gates.NotOpened, match="ask more"):
        gates.open_gate(gate.candidate, project=gate.project, by=None)
    assert gates.ask_more(gate, by=None).outcome == OPEN
    assert gate.max_prompts == 11
    assert gate.run is not None
    assert gate.run.parameters["tasks"] == 5
    open_tasks(gate)
    answer(gate, ann, "++")
    assert gates.close_if_decided(gate).outcome == MET


def test_a_decided_gate_asks_no_more() -> None:
    gate = make_open_gate()
    answer(gate, annotator(), "--------")
    gates.close_if_decided(gate)
    with pytest.raises(gates.NotOpened, match="people prefer the version in production"):
        gates.ask_more(gate, by=None)


def test_withdrawing_and_opening_again_forgets_no_answer() -> None:
    gate, ann = make_open_gate(), annotator()
    answer(gate, ann, "-----")
    assert gates.withdraw(gate)
    assert not gates.withdraw(gate)
    assert gate.outcome == WITHDRAWN
    assert gates.gate_for(gate.candidate, gate.project) is None
    again = gates.open_gate(gate.candidate, project=gate.project, by=None)
    assert again != gate
    assert again.run is None  # the tasks are there still, and come before others again
    assert not Task.objects.filter(priority=DECIDED_TASK_PRIORITY).exists()
    answer(again, ann, "---")
    assert gates.close_if_decided(again).outcome == REFUSED
    assert evidence_of(again).compared == 8


# -- For those who promote --------------------------------------------------------------------------------


def test_with_nothing_in_production_there_is_nothing_to_meet() -> None:
    project = make_project()
    new = version("new", project)
    assert gates.is_met(new, project)
    assert gates.gate_for(new, project) is None


def test_a_gate_against_what_was_in_production_before_is_none_against_what_is_now() -> None:
    gate = make_open_gate()
    answer(gate, annotator(), "++++++++")
    gates.close_if_decided(gate)
    ModelVersion.objects.filter(name="old").update(stage=ModelVersion.Stage.CANDIDATE)
    version("other", gate.project, in_production=True)
    assert not gates.is_met(gate.candidate, gate.project)
    assert gates.gate_for(gate.candidate, gate.project) is None
