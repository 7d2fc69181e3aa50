"""The form of an evaluation."""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.http import QueryDict

from labeling.models import Project
from training.config_form import NamedChoiceField
from training.forms.base import RunForm, validate_paths
from training.forms.judges import PEOPLE, STORY_REWARD_FUNCTION, parse_judges, validate_scorer_name
from training.forms.production_policy import optional_policy_field
from training.forms.writers import EndpointMixin, WriterChoiceField
from training.gpt.config import CorpusConfig, EvaluationConfig, HardwareConfig
from training.models import ModelVersion, Run


class EvaluateForm(EndpointMixin, RunForm):
    kind = Run.Kind.EVALUATE
    summary = (
        "Measure a policy or an endpoint: perplexity on a corpus, or the win rate over another version or "
        "endpoint."
    )
    configs = (CorpusConfig, EvaluationConfig, HardwareConfig)

    policy = optional_policy_field("The version to measure.")
    source = forms.CharField(
        required=False, help_text="Measure perplexity on this corpus: files, folders, or “stories”."
    )
    split = forms.ChoiceField(
        required=False,
        initial="test",
        choices=[(name, name) for name in ("train", "validation", "test", "all")],
        help_text="Which split of the corpus, as pretraining made it",
    )
    against = WriterChoiceField(
        required=False,
        help_text="Measure the win rate over this version or endpoint, on the project's held-out prompts.",
    )
    project = NamedChoiceField(
        Project.objects.all(), by="slug", required=False, help_text="The project whose prompts are used."
    )
    judge = forms.CharField(
        required=False,
        help_text=f"Judges, joined by commas: names of reward models, {STORY_REWARD_FUNCTION}, or {PEOPLE} "
        "(in blind tasks).",
    )
    tasks = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=100_000,
        initial=0,
        help_text=f"With {PEOPLE} as a judge: open this many blind tasks, with one sample of each side.",
    )
    best_of = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=1000,
        initial=1,
        help_text="Generate this many completions of each prompt with --policy, of which --reward picks one.",
    )
    reward = NamedChoiceField(
        ModelVersion.objects.rewards(),
        by="name",
        required=False,
        help_text="With --best-of: the reward model that picks.",
    )
    prompts = forms.IntegerField(
        required=False, min_value=1, initial=200, help_text="Largest number of held-out prompts used."
    )
    max_new_tokens = forms.IntegerField(
        required=False, min_value=1, initial=64, help_text="Longest completion, in tokens."
    )
    temperature = forms.FloatField(
        required=False, min_value=0, initial=1.0, help_text="Sampling temperature."
    )

    chat = forms.BooleanField(
        required=False,
        initial=False,
        help_text="Documents of the corpus are conversations, and every prompt is read through the chat "
        "template: a plain one as a turn of the user.",
    )

    @classmethod
    def normalise_page_data(cls, data: QueryDict) -> QueryDict:
        data = super().normalise_page_data(data).copy()
        data["judge"] = ",".join(data.getlist("judge"))
        return data

    def configs_in_use(self, cleaned: dict[str, Any]) -> tuple[type[Any], ...]:
        return self.configs if cleaned.get("source") else (HardwareConfig,)

    def clean_source(self) -> str:
        return validate_paths(self.cleaned_data["source"])

    def clean_judge(self) -> str:
        names = parse_judges(self.cleaned_data["judge"])
        for name in names:
            if name != PEOPLE:
                validate_scorer_name(name, self.reward_models())
        return ",".join(names)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if self.errors:
            return cleaned
        for name, message in [*self.missing_fields(cleaned), *self.conflicting_fields(cleaned)]:
            self.add_error(name, message)
        return cleaned

    def missing_fields(self, cleaned: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Fields that were left empty, each with an error that says what to enter."""
        if not cleaned["policy"] and not cleaned["from"]:
            yield "policy", "name a policy, or an endpoint (--from)."
        if not cleaned["source"] and not cleaned["against"]:
            yield "source", "name what to measure: a corpus (--source) or another version (--against)."
        if cleaned["against"]:
            for name, what in (("project", "project with held-out prompts"), ("judge", "judge")):
                if not cleaned[name]:
                    yield name, f"name a {what}."
            project = cleaned["project"]
            if project and not project.prompts.filter(split="heldout").exists():
                yield "project", f"“{project.slug}” has no held-out prompts."
        if cleaned["best_of"] > 1 and not cleaned["reward"]:
            yield "reward", "name the reward model that picks among the --best-of completions."
        if cleaned["best_of"] > 1 and not cleaned["against"]:
            yield "against", "name the version to compare with; it may be --policy itself."
        if cleaned["reward"] and cleaned["best_of"] == 1:
            yield "best_of", "give the number of completions that the reward model picks from (2 or more)."

    def conflicting_fields(self, cleaned: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Fields that conflict with others, each with an error that says what to do."""
        people = PEOPLE in parse_judges(cleaned["judge"])
        if cleaned["tasks"] and not people:
            yield "tasks", f"people answer blind tasks: name {PEOPLE} in --judge as well."
        if people and cleaned["project"] and not cleaned["project"].kind.is_comparative:
            yield "project", f"“{cleaned['project'].slug}” collects rewrites, not comparisons."
        if people and (cleaned["from"] or cleaned["policy"]) == cleaned["against"]:
            yield "against", "people compare two different models: name another version or endpoint."
        if cleaned["from"] and cleaned["source"]:
            yield "source", "perplexity is measured of policies only: leave it out."
        if people and cleaned["best_of"] > 1:
            yield "best_of", f"{PEOPLE} judge single completions: leave out one of the two."
