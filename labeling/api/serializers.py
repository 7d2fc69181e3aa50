"""Serializers of the labelling API. Samples come without their generators."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from labeling.control_tasks import TrainingFeedback, training_feedback
from labeling.exports.formats import FORMATS
from labeling.exports.options import CHOICES
from labeling.feedback import MAX_GRADE, Answer, AnswerError, parse_answer
from labeling.models import Annotation, Assignment, Project, Prompt, Task
from labeling.queue import MAX_CLIENT_KEY_LENGTH, MAX_REASON_LENGTH
from training.formats.messages import ROLES
from training.formats.writer import CONTAINERS


class ProjectSerializer(serializers.ModelSerializer[Project]):
    """A project in which you may label."""

    guidelines = serializers.SerializerMethodField(help_text="Markdown.")
    waiting = serializers.SerializerMethodField(
        help_text="Tasks you hold or could claim now, rounded down to 0, 1, 10, 20, 50, 100 …"
    )

    class Meta:
        model = Project
        fields = ["slug", "name", "feedback", "scale", "criteria", "text_format", "guidelines", "waiting"]

    def get_guidelines(self, project: Project) -> str:
        """The version in force."""
        guidelines = project.guidelines
        return guidelines.text if guidelines else ""

    def get_waiting(self, project: Project) -> int:
        """For the requesting user."""
        return Task.objects.filter(project=project).approximate_waiting_count(self.context["request"].user)


class MessageSerializer(serializers.Serializer[Any]):
    """One message of a conversation."""

    role = serializers.ChoiceField(choices=ROLES)
    content = serializers.CharField()


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
    messages = serializers.ListField(
        source="task.prompt.messages",
        child=MessageSerializer(),
        allow_null=True,
        read_only=True,
        help_text="The prompt as a conversation; null if it is plain text.",
    )
    samples = serializers.SerializerMethodField()
    training = serializers.SerializerMethodField(
        help_text="Whether it is a training task: after you submit, you get the expected answer."
    )

    class Meta:
        model = Assignment
        fields = [
            "id", "project", "feedback", "scale", "criteria", "text_format", "prompt", "messages", "samples",
            "training", "lease_until", "draft",
        ]  # fmt: skip

    def get_samples(self, assignment: Assignment) -> list[str]:
        """The texts in the random order of this assignment."""
        return [sample.text for sample in assignment.shown_samples()]

    def get_training(self, assignment: Assignment) -> bool:
        """No other kind of task is disclosed."""
        return assignment.task.kind == Task.Kind.TRAINING


class SubmitSerializer(serializers.Serializer[Answer]):
    """An answer, in the order of the samples.

    Besides the key, it has the fields of the project's kind of feedback: `grade`, `ranks`, `best`, `scores`
    or `text`; or only `all_bad`.
    """

    client_key = serializers.CharField(
        max_length=MAX_CLIENT_KEY_LENGTH, help_text="An idempotency key: any text, the same on retries."
    )
    grade = serializers.IntegerField(
        required=False,
        min_value=-MAX_GRADE,
        max_value=MAX_GRADE,
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
        help_text="Score: an object of scores by criterion for each sample. Pair: one object of grades.",
    )
    text = serializers.CharField(
        required=False, allow_blank=True, help_text="Rewrite: the completion as it should be."
    )
    edited = serializers.IntegerField(
        required=False,
        min_value=1,
        help_text="Rewrite: the number of the edited sample; omit it if written from scratch.",
    )
    all_bad = serializers.BooleanField(required=False, help_text="No sample is acceptable.")
    flagged = serializers.BooleanField(required=False)
    comment = serializers.CharField(required=False, allow_blank=True)
    seconds = serializers.FloatField(required=False, help_text="Active time spent.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Validate with `labeling.feedback`, as the pages do."""
        given = {name: value for name, value in attrs.items() if name != "client_key"}
        try:
            answer = parse_answer(given)
        except AnswerError as error:
            raise serializers.ValidationError(str(error)) from None
        return {"client_key": attrs["client_key"], "answer": answer}


class FinishedAssignmentSerializer(AssignmentSerializer):
    """An answered or skipped task."""

    answer = serializers.SerializerMethodField(help_text="The latest revision; null for a skipped task.")
    revision = serializers.SerializerMethodField(help_text="Its number; 0 for a skipped task.")

    class Meta(AssignmentSerializer.Meta):
        fields = [
            "id", "project", "feedback", "scale", "criteria", "text_format", "prompt", "messages", "samples",
            "state", "finished", "skip_reason", "answer", "revision",
        ]  # fmt: skip

    def get_answer(self, assignment: Assignment) -> dict[str, Any] | None:
        """The latest revision."""
        last = max(assignment.annotations.all(), key=lambda given: given.revision, default=None)
        return None if last is None else last.answer.as_json()

    def get_revision(self, assignment: Assignment) -> int:
        """Of the latest revision."""
        return max((given.revision for given in assignment.annotations.all()), default=0)


class LeaseSerializer(serializers.ModelSerializer[Assignment]):
    """A renewed lease."""

    class Meta:
        model = Assignment
        fields = ["lease_until"]
        read_only_fields = fields


class DraftSerializer(serializers.Serializer[Any]):
    """An unfinished answer."""

    draft = serializers.DictField(help_text="Any JSON object; returned with the task.")


class TrainingFeedbackSerializer(serializers.Serializer[TrainingFeedback]):
    """The feedback on a training task."""

    right = serializers.BooleanField(source="correct", help_text="Whether your answer is the expected one.")
    expected = serializers.SerializerMethodField(help_text="An answer, in the order of the samples.")
    explanation = serializers.CharField(help_text="Markdown.")

    def get_expected(self, feedback: TrainingFeedback) -> dict[str, Any]:
        """In the format of a submitted answer."""
        return feedback.expected.as_json()


class StoredAnnotationSerializer(serializers.Serializer[Annotation]):
    """A stored answer."""

    annotation = serializers.IntegerField(source="pk", read_only=True)
    revision = serializers.IntegerField(read_only=True)
    lesson = serializers.SerializerMethodField(
        help_text="The feedback on a training task; null after any other task."
    )

    @extend_schema_field(TrainingFeedbackSerializer(allow_null=True))
    def get_lesson(self, annotation: Annotation) -> Any:
        """For training tasks."""
        feedback = training_feedback(annotation)
        return feedback and TrainingFeedbackSerializer(feedback).data


class SkipSerializer(serializers.Serializer[Any]):
    """The reason for skipping a task."""

    reason = serializers.CharField(required=False, allow_blank=True, max_length=MAX_REASON_LENGTH, default="")


class ComparisonSerializer(serializers.Serializer[Any]):
    """One line of the export."""

    prompt = serializers.CharField()
    messages = MessageSerializer(many=True, required=False, help_text="If the prompt is a conversation.")
    chosen = serializers.CharField()
    rejected = serializers.CharField()
    tie = serializers.BooleanField(help_text="Neither is better: chosen and rejected have no order.")
    margin = serializers.FloatField(help_text="How much better, up to 1; 0 if that was not asked.")
    group = serializers.CharField(help_text="The annotation it comes from.")
    annotator = serializers.CharField(help_text="A number that stays the same for one person.")
    split = serializers.ChoiceField(choices=Prompt.Split.choices)
    choice = serializers.ChoiceField(choices=Task.Choice.choices, help_text="How the task was chosen.")
    criteria = serializers.DictField(
        child=serializers.FloatField(),
        required=False,
        help_text="Pairs: how much better the chosen one is by each criterion, from -1 to 1.",
    )


class RatingSerializer(serializers.Serializer[Any]):
    """One line of the export of ratings."""

    prompt = serializers.CharField()
    messages = MessageSerializer(many=True, required=False, help_text="If the prompt is a conversation.")
    completion = serializers.CharField()
    score = serializers.FloatField(help_text="Overall, from 0 (worst) to 1 (best).")
    criteria = serializers.DictField(child=serializers.FloatField(), help_text="The same for each criterion.")
    group = serializers.CharField(help_text="The annotation it comes from.")
    annotator = serializers.CharField(help_text="A number that stays the same for one person.")
    split = serializers.ChoiceField(choices=Prompt.Split.choices)
    choice = serializers.ChoiceField(choices=Task.Choice.choices, help_text="How the task was chosen.")


class DemonstrationSerializer(serializers.Serializer[Any]):
    """One line of the export of demonstrations."""

    prompt = serializers.CharField()
    messages = MessageSerializer(many=True, required=False, help_text="If the prompt is a conversation.")
    completion = serializers.CharField(help_text="What follows the prompt, leading space included.")
    group = serializers.CharField(help_text="The annotation it comes from.")
    annotator = serializers.CharField(help_text="A number that stays the same for one person.")
    split = serializers.ChoiceField(choices=Prompt.Split.choices)


class ExportSerializer(serializers.Serializer[Any]):
    """The options of an export."""

    format = serializers.ChoiceField(
        choices=[(each.name, each.description) for each in FORMATS.values()], help_text="The format."
    )
    container = serializers.ChoiceField(choices=CONTAINERS, default="jsonl", help_text="The kind of file.")
    messages = serializers.BooleanField(
        allow_null=True,
        default=None,
        help_text="Prompts and completions as messages; by default if any prompt is a conversation.",
    )
    ties = serializers.ChoiceField(choices=CHOICES["ties"], default="drop", help_text="Ties as rows.")
    aggregate = serializers.ChoiceField(
        choices=CHOICES["aggregate"], default="none", help_text="All people's answers to a task as one."
    )
    split = serializers.ChoiceField(
        choices=CHOICES["split"], required=False, help_text="Of these prompts; train by default."
    )
    snapshot = serializers.CharField(
        default="", allow_blank=True, help_text="Only the answers of this snapshot: its hash."
    )
    names = serializers.BooleanField(default=False, help_text="Annotators by name, not as numbers.")
    spreadsheet = serializers.BooleanField(
        default=False, help_text="CSV in which a spreadsheet takes no cell for a formula."
    )


class ErrorSerializer(serializers.Serializer[Any]):
    """An error message."""

    detail = serializers.CharField(read_only=True)
