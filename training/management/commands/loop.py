"""`manage.py loop`: complete rounds of sample, label, reward, fine-tune and evaluate."""

import json
import textwrap
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django import forms
from django.core.management.base import CommandError
from django.db.models import Q
from tqdm import tqdm

from labeling.models import Annotation, Project, Task
from training.config_form import ConfigForm, NamedChoiceField
from training.forms import FORMS
from training.forms.base import ChatMixin
from training.forms.judges import STORY_REWARD_FUNCTION, validate_scorer_name
from training.forms.task_priorities import ACQUISITION_FUNCTIONS
from training.gpt.errors import InputError
from training.management.options import add_options, given_values, require_valid
from training.management.run_command import start_and_execute
from training.management.site_command import SiteCommand
from training.models import ModelVersion, Run
from training.project_setup import STORIES, FilePrompt, fill_project, read_prompts, story_project
from training.rlhf.config import SimulatedAnnotatorsConfig

SIMULATED = "simulated"
HUMAN = "human"

MAX_EXAMPLES = 5
"""Examples printed after each round."""

ENSEMBLE_MEMBERS = 4
"""Ensemble members of a reward model, if tasks are chosen by disagreement."""


class LoopForm(ChatMixin, ConfigForm):
    """The options of the loop."""

    configs = (SimulatedAnnotatorsConfig,)

    project = forms.SlugField(
        required=False, initial=STORIES, help_text="The slug of the project; created if it is new."
    )
    policy = NamedChoiceField(
        ModelVersion.objects.policies(),
        by="name",
        required=False,
        help_text="The policy to start from (default: the project's newest; stories train one).",
    )
    prompts = forms.CharField(
        required=False,
        help_text="Add the prompts in this file to the project: one a line, or in any format.",
    )
    annotators = forms.CharField(
        required=False,
        initial=f"{SIMULATED}:{STORY_REWARD_FUNCTION}",
        help_text=f"{HUMAN}, or {SIMULATED}:NAME with a reward model, or {STORY_REWARD_FUNCTION}.",
    )
    rounds = forms.IntegerField(required=False, min_value=1, initial=1, help_text="Number of rounds.")
    tasks = forms.IntegerField(
        required=False, min_value=1, initial=400, help_text="Tasks to open in each round."
    )
    annotations = forms.IntegerField(
        required=False,
        min_value=1,
        help_text="Answers to wait for in each round (default: all that the new tasks need).",
    )
    steps = forms.IntegerField(required=False, min_value=1, help_text="Policy updates in each round.")
    minutes = forms.FloatField(
        required=False, min_value=0, help_text="Time limit of each fine-tune, in minutes."
    )
    max_new_tokens = forms.IntegerField(
        required=False, min_value=1, initial=64, help_text="Maximum length of a completion, in tokens."
    )
    choose = forms.ChoiceField(
        required=False,
        choices=ACQUISITION_FUNCTIONS,
        help_text="From the second round on, prioritise the open tasks that the last reward model would "
        "learn most from, by",
    )
    reliability = forms.BooleanField(
        required=False, help_text="Estimate the reliability of each annotator, and weight answers by it."
    )
    report = forms.CharField(required=False, help_text="Write the metrics of every round to this JSON file.")

    def clean_annotators(self) -> str:
        who: str = self.cleaned_data["annotators"] or self.fields["annotators"].initial
        kind, _, name = who.partition(":")
        if who != HUMAN and (kind != SIMULATED or not name):
            raise forms.ValidationError(f"“{who}” is neither {HUMAN} nor {SIMULATED}:NAME.")
        validate_scorer_name(name)
        return who

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if cleaned.get("choose") and not self.errors:
            annotations, tasks = cleaned["annotations"], cleaned["tasks"]
            if annotations is None or annotations >= tasks:
                self.add_error(
                    "annotations",
                    f"with --choose, give fewer than the {tasks} tasks: if all are answered, their order "
                    "does not matter.",
                )
        return cleaned

    def clean_report(self) -> str:
        report: str = self.cleaned_data["report"]
        if report and not Path(report).resolve().parent.is_dir():
            raise forms.ValidationError(f"{report}: its folder does not exist; create it first.")
        return report


class Command(SiteCommand):
    help = "Run complete rounds: sample, label, train a reward model, fine-tune against it, evaluate."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_options(parser, LoopForm())

    def handle(self, **options: Any) -> None:
        form = require_valid(LoopForm(given_values(LoopForm(), options)))
        loop = Loop(form, write=self.stdout.write)
        rounds = []
        for number in range(1, form.cleaned_data["rounds"] + 1):
            rounds.append(loop.round(number))
            # Written after each round, so that an interruption does not lose the finished ones.
            if report := form.cleaned_data["report"]:
                report_of = {"project": loop.project.slug, "rounds": rounds}
                Path(report).write_text(json.dumps(report_of, indent=2) + "\n", encoding="utf-8")


class Loop:
    """The rounds of one project; each starts from the policy that the previous one produced."""

    def __init__(self, form: LoopForm, *, write: Any) -> None:
        self.options = form.cleaned_data
        self.write = write
        self.annotators = form.config(SimulatedAnnotatorsConfig)
        self.scorer = self.options["annotators"].partition(":")[2]
        self.project = self.ready_project()
        if not self.project.kind.is_comparative:
            raise CommandError(
                f"--project: people rewrite in “{self.project.slug}”, so there are no comparisons; alternate "
                f"`manage.py sample` and `manage.py supervised` instead."
            )
        self.policy = self.options["policy"] or self.newest_policy() or self.first_policy()
        self.reward: ModelVersion | None = None
        self.seconds: dict[str, float] = {}

    def ready_project(self) -> Project:
        """The project, created and filled with prompts if necessary."""
        slug = self.options["project"]
        prompts: list[FilePrompt] = []
        if self.options["prompts"]:
            try:
                prompts = read_prompts(Path(self.options["prompts"]))
            except InputError as error:
                raise CommandError(f"--prompts: {error}") from None
        elif slug == STORIES:
            return story_project()
        project = Project.objects.filter(slug=slug).first()
        if project is None and not prompts:
            raise CommandError(f"--project: there is no project “{slug}”; give --prompts FILE to create it.")
        if project is None:
            project = Project.objects.create(slug=slug, name=slug.replace("-", " ").capitalize())
        fill_project(project, prompts, heldout=0.2)
        return project

    def newest_policy(self) -> ModelVersion | None:
        """The newest policy that was made for the project or wrote samples for it."""
        own = Q(run__project=self.project) | Q(generator__samples__prompt__project=self.project)
        return ModelVersion.objects.policies().filter(own).first()

    def first_policy(self) -> ModelVersion:
        if self.project.slug != STORIES:
            raise CommandError("--policy: name the policy to start from; `manage.py pretrain` trains one.")
        self.write("There is no story model yet: training one (about two minutes).")
        return self.perform(Run.Kind.PRETRAIN, project=STORIES).version

    def perform(self, kind: Run.Kind, **parameters: Any) -> Run:
        return start_and_execute(
            FORMS[kind]({name: value for name, value in parameters.items() if value is not None})
        )

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[stage] = round(time.monotonic() - began, 1)

    def round(self, number: int) -> dict[str, Any]:
        """Run one round; returns its metrics for the report."""
        self.seconds = {}
        slug, before = self.project.slug, self.policy
        self.write(f"Round {number}: {slug}, from {before.name}")
        answered_before = self.answers()
        with self.timed("sample"):
            sampled = self.perform(
                Run.Kind.SAMPLE,
                project=slug,
                policy=before.name,
                chat=self.options["chat"],
                tasks=self.options["tasks"],
                max_new_tokens=self.options["max_new_tokens"],
                seed=number,
            )
        self.write(f"  sample     {sampled.metrics['tasks']} tasks opened")
        if self.options["choose"] and self.reward is not None:
            self.order(self.reward)
        with self.timed("label"):
            self.label(answered_before, tasks=sampled.metrics["tasks"])
        annotations = self.answers() - answered_before
        self.write(f"  label      {annotations} answers")
        with self.timed("reward"):
            rewarded = self.perform(
                Run.Kind.TRAIN_REWARD,
                project=slug,
                policy=before.name,
                chat=self.options["chat"],
                gold=self.scorer or None,
                reliability=self.options["reliability"],
                members=ENSEMBLE_MEMBERS if self.options["choose"] == Task.Choice.DISAGREEMENT else None,
                seed=number,
            )
        self.reward = rewarded.version
        accuracy = rewarded.metrics.get("gold_accuracy", rewarded.metrics.get("accuracy"))
        comparisons = rewarded.metrics["comparisons"]
        self.write(f"  reward     {comparisons} comparisons, held-out accuracy {format_metric(accuracy)}")
        with self.timed("finetune"):
            tuned = self.perform(
                Run.Kind.FINETUNE,
                project=slug,
                policy=before.name,
                chat=self.options["chat"],
                reward=rewarded.version.name,
                steps=self.options["steps"],
                minutes=self.options["minutes"],
                max_new_tokens=self.options["max_new_tokens"],
                seed=number,
            )
        self.policy = tuned.version
        self.write(
            f"  finetune   {self.policy.name}, KL {format_metric(tuned.metrics.get('kl'))} nats per sequence"
        )
        with self.timed("evaluate"):
            evaluated = self.perform(
                Run.Kind.EVALUATE,
                policy=self.policy.name,
                against=before.name,
                chat=self.options["chat"],
                project=slug,
                judge=self.scorer or rewarded.version.name,
                max_new_tokens=self.options["max_new_tokens"],
                seed=number,
            )
        result = evaluated.metrics
        (judged,) = result["judges"]
        won = judged["won"]
        judge = self.scorer or f"{rewarded.version.name}, the reward model it was tuned against"
        self.write(
            f"  evaluate   wins {won['rate']:.0%} of {result['prompts']} held-out prompts "
            f"({won['low']:.0%} to {won['high']:.0%}); score "
            f"{judged['score_against']:.2f} before, {judged['score']:.2f} after; judged by {judge}"
        )
        self.show_examples(result["examples"])
        gold = bool(self.scorer)
        return {
            "round": number,
            "tasks": sampled.metrics["tasks"],
            "annotations": annotations,
            "comparisons": rewarded.metrics["comparisons"],
            "reward_accuracy": accuracy,
            "gold_before": judged["score_against"] if gold else None,
            "gold_after": judged["score"] if gold else None,
            "gold_win_rate": won["rate"] if gold else None,
            "kl": tuned.metrics.get("kl"),
            "seconds": self.seconds,
        }

    def answers(self) -> int:
        """The number of answers for training; those on held-out prompts are for evaluation."""
        answers = Annotation.objects.for_project(self.project).latest_revisions().on_ordinary_tasks()
        return answers.filter(assignment__task__prompt__split="train").count()

    def order(self, reward: ModelVersion) -> None:
        """Prioritise the open tasks that this reward model would learn most from."""
        with self.timed("order"):
            ordered = self.perform(
                Run.Kind.ORDER_TASKS, project=self.project.slug, reward=reward.name, by=self.options["choose"]
            )
        chosen, tasks = ordered.metrics["chosen"], ordered.metrics["tasks"]
        self.write(f"  prioritise {chosen} of {tasks} tasks chosen by {self.options['choose']}")

    def label(self, answered_before: int, *, tasks: int) -> None:
        """Have the open tasks answered by simulated annotators, or wait for people to answer them."""
        wanted = self.options["annotations"] or tasks * self.project.annotations_per_task
        bar = tqdm(total=wanted, desc="answers", disable=None, leave=False)
        with bar:
            if self.scorer:
                from training.execution.model_loading import load_scorer
                from training.execution.simulated_annotators import answer_open_tasks

                answer_open_tasks(
                    self.project,
                    load_scorer(self.scorer),
                    self.annotators,
                    max_answers=self.options["annotations"],
                    on_answer=lambda _: bar.update(),
                )
                return
            self.write(f"  label      waiting for {wanted} answers at {self.project.get_absolute_url()}")
            while (done := self.answers() - answered_before) < wanted:
                bar.update(done - bar.n)
                time.sleep(2)

    def show_examples(self, examples: list[dict[str, Any]]) -> None:
        """Print completions before and after the tuning."""
        for example in examples[:MAX_EXAMPLES]:
            (verdict,) = example["verdicts"]
            self.write("")
            self.write(paragraph("prompt", example["prompt"]))
            self.write(paragraph(f"before {verdict['score_against']:+.1f}", example["against"]))
            self.write(paragraph(f"after  {verdict['score']:+.1f}", example["completion"]))


def format_metric(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def paragraph(label: str, text: str) -> str:
    """A label and its text, wrapped to 100 columns."""
    indent = f"  {label:<12} "
    return textwrap.fill(
        " ".join(text.split()) or "(nothing)", 100, initial_indent=indent, subsequent_indent=" " * len(indent)
    )
