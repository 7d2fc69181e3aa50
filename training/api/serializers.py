"""Serializers of runs and model versions."""

from typing import Any

from rest_framework import serializers

from training.forms import FORMS
from training.forms.base import RunForm
from training.models import Endpoint, ModelVersion, Run


class ModelVersionSerializer(serializers.ModelSerializer[ModelVersion]):
    parent = serializers.CharField(  # type: ignore[assignment]  # shadows no attribute: a declaration
        source="parent.name", default=None, read_only=True
    )

    project = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)

    class Meta:
        model = ModelVersion
        fields = [
            "name", "kind", "stage", "project", "parent", "run", "metrics", "artifact_hash", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class RunSerializer(serializers.ModelSerializer[Run]):
    project = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    policy = serializers.SlugRelatedField[ModelVersion](slug_field="name", read_only=True)
    endpoint = serializers.SlugRelatedField[Endpoint](slug_field="name", read_only=True)
    reward = serializers.SlugRelatedField[ModelVersion](slug_field="name", read_only=True)
    version = serializers.SlugRelatedField[ModelVersion](slug_field="name", read_only=True, default=None)
    seconds = serializers.FloatField(read_only=True, help_text="Execution time over all attempts.")

    class Meta:
        model = Run
        fields = [
            "id", "kind", "status", "progress", "message", "error", "parameters", "project", "policy",
            "endpoint", "reward", "version", "metrics", "saved_step", "seconds", "created_at", "started_at",
            "finished_at", "resources", "code_version",
        ]  # fmt: skip
        read_only_fields = fields


class RefusalSerializer(serializers.Serializer[dict[str, str]]):
    """Why a request was refused, in one line."""

    detail = serializers.CharField()


class StartRunSerializer(serializers.Serializer[Run]):
    """A kind of run and its parameters: the options of the command of the same name."""

    kind = serializers.ChoiceField(choices=[str(kind) for kind in FORMS])
    parameters = serializers.DictField(default=dict)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        form_class = FORMS[attrs["kind"]]
        unknown = sorted(set(attrs["parameters"]) - set(form_class().fields))
        if unknown:
            known = ", ".join(form_class().fields)
            raise serializers.ValidationError(
                {"parameters": [f"{unknown[0]} is not a parameter of {attrs['kind']}; choose from: {known}."]}
            )
        form: RunForm = form_class(attrs["parameters"], user=self.context["user"])
        if not form.is_valid():
            raise serializers.ValidationError({"parameters": form.errors.get_json_data()})
        attrs["form"] = form
        return attrs
