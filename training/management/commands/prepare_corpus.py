"""`manage.py prepare_corpus --source …`: read, split and tokenise a corpus, and print its statistics."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from training.execution.corpora import corpora_folder
from training.forms.language_model import PrepareCorpusForm
from training.gpt.config import CorpusConfig, TokenizerConfig
from training.gpt.corpus.prepare import PreparedCorpus, prepare
from training.gpt.errors import InputError
from training.management.options import add_options, given_values, require_valid


class Command(BaseCommand):
    help = "Read, split and tokenise a corpus, and print its statistics; pretrain then reuses the result."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_options(parser, PrepareCorpusForm())

    def handle(self, **options: Any) -> None:
        form = require_valid(PrepareCorpusForm(given_values(PrepareCorpusForm(), options)))
        bars = StageBars()
        try:
            prepared = prepare(
                form.config(CorpusConfig), form.config(TokenizerConfig), corpora_folder(), on_progress=bars
            )
        except InputError as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("stopped; no partial files are left.") from None
        finally:
            bars.close()
        self.stdout.write(describe(prepared, kind=form.cleaned_data["tokenizer"]))


class StageBars:
    """A terminal progress bar for each stage of the preparation, one after another."""

    def __init__(self) -> None:
        self.bar: tqdm[Any] | None = None
        self.what = ""

    def __call__(self, what: str, share: float) -> None:
        if self.bar is None or what != self.what:
            self.close()
            self.what = what
            self.bar = tqdm(
                total=1.0,
                desc=what,
                disable=None,
                leave=False,
                bar_format="{desc} {percentage:3.0f}% |{bar}| {elapsed}<{remaining}",
            )
        self.bar.update(share - self.bar.n)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def describe(prepared: PreparedCorpus, *, kind: str) -> str:
    """The statistics of a prepared corpus as text."""
    summary = prepared.summary
    lines = [f"{summary['source']}: {summary['documents']:,} documents"]
    lines += [f"  {'split':<16} {'documents':>12} {'tokens':>14} {'bytes':>14}"]
    for name, split in summary["splits"].items():
        counts = (split["documents"], split["tokens"], split["text_bytes"])
        lines.append(f"  {name:<16} {counts[0]:>12,} {counts[1]:>14,} {counts[2]:>14,}")
    lines += [
        f"  vocabulary       {summary['vocab_size']:,} ({kind})",
        f"  unknown          {summary['unknown_rate']:.2%} of tokens",
        f"  longest document {summary['longest_document']:,} tokens",
    ]
    for name, reason in (("dropped_repeated", "repeated"), ("dropped_short", "too short")):
        if summary[name]:
            lines.append(f"  dropped          {summary[name]:,} documents, {reason}")
    lines += [f"  Note: {note}" for note in summary["notes"]]
    origin = "reused" if prepared.reused else f"prepared in {summary['seconds']:.0f} s"
    return "\n".join([*lines, f"  {origin}: {prepared.folder}"])
