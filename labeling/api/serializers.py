"""What the labelling API takes and gives. Samples come without a word on who wrote them."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from labeling.control_tasks import Lesson, lesson
from labeling.feedback import MUCH, Answer, AnswerError, parse_answer
from labeling.models import Annotation, Assignment, Project, Prompt, Task
from labeling.queue import LONGEST_CLIENT_KEY, LONGEST_REASON


class ProjectSerializer(serializers.ModelSerializer[Project]):
    """A project in which one may label."""

    guidelines = serializers.SerializerMethodField(help_text="Markdown.")
    waiting = serializers.SerializerMethodField(
        help_text="About how many tasks you hold or could claim now: rounded down to 0, 1, 10, 20, 50, 100 …"
    )

    class Meta:
        model = Project
        fields = ["slug", "name", "feedback", "scale", "criteria", "text_format", "guidelines", "waiting"]

    def get_guidelines(self, project: Project) -> str:
        """The version in force."""
        guidelines = project.guidelines
        return guidelines.text if guidelines else ""

    def get_waiting(self, project: Project) -> int:
        """For the person who asks."""
        return Task.objects.filter(project=project).waiting_about(self.context["request"].user)


class AssignmentSerializer(serializers.ModelSerializer[Assignment]):
    """A leased task. Answers are given in the order of `samples`."""

    project = serializers.CharField(source="project.slug", read_only=True)
    feedback = serializers.ChoiceField(
        source="project.feedback", choices=Project.FeedbackKind.choices, read_only=True
    )
    scale = serializers.IntegerField(source="project.scale", read_only=True)
    criteria = serializers.ListField(source="project.criteria", child=serializers.CharField(), read_only=True)
    text_format = serializers.ChoiceField(
        source="project.text_format", choices=Project.TextFormat.choices, read_only=True
    )
    prompt = serializers.CharField(source="task.prompt.text", read_only=True)
    samples = serializers.SerializerMethodField()
    training = serializers.SerializerMethodField(
        help_text="Whether it is a training task: once it is answered, you are told what was expected."
    )

    class Meta:
        model = Assignment
        fields = [
            "id", "project", "feedback", "scale", "criteria", "text_format", "prompt", "samples", "training",
            "lease_until", "draft",
        ]  # fmt: skip

    def get_samples(self, assignment: Assignment) -> list[str]:
        """The texts in the order drawn for this person."""
        return [sample.text for sample in assignment.shown_samples()]

    def get_training(self, assignment: Assignment) -> bool:
        """No other kind of task is told apart."""
        return assignment.task.kind == Task.Kind.TRAINING


class SubmitSerializer(serializers.Serializer[Answer]):
    """An answer, in the order in which the samples were given.

    What is wanted beside the key is what the project's kind of feedback asks for: `grade` of a pair, `ranks`,
    `best`, `scores`, or `text`; or `all_bad` alone.
    """

    client_key = serializers.CharField(
        max_length=LONGEST_CLIENT_KEY, help_text="Any text of your own; the same when you retry."
    )
    grade = serializers.IntegerField(
        required=False,
        min_value=-MUCH,
        max_value=MUCH,
        help_text="Pair: below 0 the first is better, 0 about the same, above 0 the second.",
    )
    ranks = serializers.ListField(
        child=serializers.IntegerField(), required=False, help_text="Rank: 1 is best; equal ranks are ties."
    )
    best = serializers.IntegerField(
        required=False, min_value=1, help_text="Best: the number of the best sample; the first is 1."
    )
    scores = serializers.ListField(
        child=serializers.IntegerField(), required=False, help_text="Score: 1 is worst."
    )
    criteria = serializers.ListField(
        child=serializers.DictField(child=serializers.IntegerField()),
        required=False,
        help_text="Score: for each sample a score by criterion. Pair: one object, a grade by criterion.",
    )
    text = serializers.CharField(
        required=False, allow_blank=True, help_text="Rewrite: the answer as it should be."
    )
    edited = serializers.IntegerField(
        required=False,
        min_value=1,
        help_text="Rewrite: the number of the sample it was made from; left out: written from nothing.",
    )
    all_bad = serializers.BooleanField(required=False, help_text="None is worth choosing.")
    flagged = serializers.BooleanField(required=False)
    comment = serializers.CharField(required=False, allow_blank=True)
    seconds = serializers.FloatField(required=False, help_text="Time spent.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Let the feedback module judge, which the pages use as well."""
        given = {name: value for name, value in attrs.items() if name != "client_key"}
        try:
            answer = parse_answer(given)
        except AnswerError as error:
            raise serializers.ValidationError(str(error)) from None
        return {"client_key": attrs["client_key"], "answer": answer}


class AnsweredSerializer(AssignmentSerializer):
    """A task that was answered or skipped."""

    answer = serializers.SerializerMethodField(help_text="As it was given; null of a skipped task.")
    revision = serializers.SerializerMethodField(help_text="How often it was given; 0 of a skipped task.")

    class Meta(AssignmentSerializer.Meta):
        fields = [
            "id", "project", "feedback", "scale", "criteria", "text_format", "prompt", "samples", "state",
            "finished", "skip_reason", "answer", "revision",
        ]  # fmt: skip

    def get_answer(self, assignment: Assignment) -> dict[str, Any] | None:
        """The revision that counts."""
        last = max(assignment.annotations.all(), key=lambda given: given.revision, default=None)
        return None if last is None else last.answer.as_json()

    def get_revision(self, assignment: Assignment) -> int:
        """Of the answer that counts."""
        return max((given.revision for given in assignment.annotations.all()), default=0)


class LeaseSerializer(serializers.ModelSerializer[Assignment]):
    """A lease that was renewed."""

    class Meta:
        model = Assignment
        fields = ["lease_until"]
        read_only_fields = fields


class DraftSerializer(serializers.Serializer[Any]):
    """An unfinished answer."""

    draft = serializers.DictField(help_text="Any JSON object; it comes back with the task.")


class LessonSerializer(serializers.Serializer[Lesson]):
    """What is told after a training task."""

    right = serializers.BooleanField()
    expected = serializers.SerializerMethodField(help_text="An answer, in the order of the samples.")
    explanation = serializers.CharField(help_text="Markdown.")

    def get_expected(self, lesson: Lesson) -> dict[str, Any]:
        """As answers are given."""
        return lesson.expected.as_json()


class StoredSerializer(serializers.Serializer[Annotation]):
    """An answer that is stored."""

    annotation = serializers.IntegerField(source="pk", read_only=True)
    revision = serializers.IntegerField(read_only=True)
    lesson = serializers.SerializerMethodField(help_text="After a training task; null after any other.")

    @extend_schema_field(LessonSerializer(allow_null=True))
    def get_lesson(self, annotation: Annotation) -> Any:
        """For training tasks."""
        told = lesson(annotation)
        return told and LessonSerializer(told).data


class SkipSerializer(serializers.Serializer[Any]):
    """Why a task is left to others."""

    reason = serializers.CharField(required=False, allow_blank=True, max_length=LONGEST_REASON, default="")


class ComparisonSerializer(serializers.Serializer[Any]):
    """One line of the export."""

    prompt = serializers.CharField()
    chosen = serializers.CharField()
    rejected = serializers.CharField()
    tie = serializers.BooleanField(help_text="Neither is better: chosen and rejected have no order.")
    margin = serializers.FloatField(help_text="How much better, up to 1; 0 where nobody was asked.")
    group = serializers.CharField(help_text="The answer it comes from.")
    annotator = serializers.CharField(help_text="A number that stays the same for one person.")
    split = serializers.ChoiceField(choices=Prompt.Split.choices)
    choice = serializers.ChoiceField(choices=Task.Choice.choices, help_text="Why the task was asked.")
    criteria = serializers.DictField(
        child=serializers.FloatField(),
        required=False,
        help_text="Of pairs: how much better the chosen one is by each criterion, from -1 to 1.",
    )


class RatingSerializer(serializers.Serializer[Any]):
    """One line of the export of scores."""

    prompt = serializers.CharField()
    completion = serializers.CharField()
    score = serializers.FloatField(help_text="Overall, from 0 (worst) to 1 (best).")
    criteria = serializers.DictField(child=serializers.FloatField(), help_text="The same for each criterion.")
    group = serializers.CharField(help_text="The answer it comes from.")
    annotator = serializers.CharField(help_text="A number that stays the same for one person.")
    split = serializers.ChoiceField(choices=Prompt.Split.choices)
    choice = serializers.ChoiceField(choices=Task.Choice.choices, help_text="Why the task was asked.")


class DemonstrationSerializer(serializers.Serializer[Any]):
    """One line of the export of what people wrote."""

    prompt = serializers.CharField()
    completion = serializers.CharField(help_text="What follows the prompt, leading space included.")
    group = serializers.CharField(help_text="The answer it comes from.")
    annotator = serializers.CharField(help_text="A number that stays the same for one person.")
    split = serializers.ChoiceField(choices=Prompt.Split.choices)


class ErrorSerializer(serializers.Serializer[Any]):
    """What went wrong, in one line."""

    detail = serializers.CharField(read_only=True)
