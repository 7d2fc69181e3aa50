"""Import policies from Hugging Face folders, and export policies to them."""

import tempfile
from pathlib import Path

from django.db import transaction

from training import artifacts
from training.execution.model_loading import load_policy
from training.gpt.checkpoint import save_checkpoint
from training.gpt.config import ExportConfig
from training.gpt.huggingface.import_export import export_folder, import_folder
from training.models import ModelVersion


def import_policy(folder: Path, *, name: str, context: int = 0, chat_template: bool = True) -> ModelVersion:
    """Create a policy version from the model in a folder. Its metrics record where it came from.

    It keeps the folder's chat template, unless `chat_template` is false.

    Raises InputError naming the file that cannot be used, and leaves nothing behind.
    """
    model, tokenizer, origin = import_folder(folder, context=context, chat_template=chat_template)
    with tempfile.TemporaryDirectory(prefix="hone-import-") as temporary:
        save_checkpoint(Path(temporary), model, tokenizer, origin)
        place, digest = artifacts.store(Path(temporary), name=name)
    try:
        with transaction.atomic():
            return ModelVersion.objects.publish(
                name=name,
                kind=ModelVersion.Kind.POLICY,
                artifact=place,
                artifact_hash=digest,
                metrics={
                    **origin,
                    "context": model.config.context,
                    "vocab_size": model.config.vocab_size,
                },
            )
    except BaseException:
        artifacts.discard(place)
        raise


def export_policy(version: ModelVersion, folder: Path, config: ExportConfig) -> str:
    """Write a policy as a folder that `transformers` can load; returns its model family.

    Raises InputError if the folder is not empty, or no family has the policy's architecture.
    """
    model, tokenizer = load_policy(version)
    return export_folder(folder, model, tokenizer, config)
