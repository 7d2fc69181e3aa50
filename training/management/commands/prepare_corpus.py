"""`manage.py prepare_corpus --source …`: read, split and tokenise a corpus, and tell what is in it."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from training.execution.corpora import corpora_folder
from training.forms.language_model import PrepareCorpusForm
from training.gpt.config import CorpusConfig, TokenizerConfig
from training.gpt.corpus.prepare import Prepared, prepare
from training.gpt.errors import InputError
from training.management.options import add_options, given, valid


class Command(BaseCommand):
    help = "Read, split and tokenise a corpus, and tell what is in it; pretrain then finds it ready."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_options(parser, PrepareCorpusForm())

    def handle(self, **options: Any) -> None:
        form = valid(PrepareCorpusForm(given(PrepareCorpusForm(), options)))
        bars = StageBars()
        try:
            prepared = prepare(
                form.config(CorpusConfig), form.config(TokenizerConfig), corpora_folder(), on_progress=bars
            )
        except InputError as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("stopped; nothing half-made is left.") from None
        finally:
            bars.close()
        self.stdout.write(describe(prepared, kind=form.cleaned_data["tokenizer"]))


class StageBars:
    """A progress bar in a terminal for each stage of a preparation, one after another."""

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


def describe(prepared: Prepared, *, kind: str) -> str:
    """A prepared corpus for a person to read."""
    summary = prepared.summary
    lines = [f"{summary['source']}: {summary['documents']:,} documents"]
    lines += [f"  {'split':<16} {'documents':>12} {'tokens':>14} {'bytes':>14}"]
    for name, split in summary["splits"].items():
        figures = (split["documents"], split["tokens"], split["text_bytes"])
        lines.append(f"  {name:<16} {figures[0]:>12,} {figures[1]:>14,} {figures[2]:>14,}")
    lines += [
        f"  vocabulary       {summary['vocab_size']:,} ({kind})",
        f"  unknown          {summary['unknown_rate']:.2%} of tokens",
        f"  longest document {summary['longest_document']:,} tokens",
    ]
    for name, what in (("dropped_repeated", "repeated"), ("dropped_short", "too short")):
        if summary[name]:
            lines.append(f"  dropped          {summary[name]:,} documents, {what}")
    lines += [f"  Note: {note}" for note in summary["notes"]]
    made = "found ready" if prepared.reused else f"made in {summary['seconds']:.0f} s"
    return "\n".join([*lines, f"  {made}: {prepared.folder}"])
