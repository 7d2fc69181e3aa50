"""`manage.py generate --policy NAME PROMPT…`: generate completions, or hold a conversation."""

import json
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from training.artifacts import ArtifactError
from training.formats.conversation import Conversation, as_prompt, messages_of
from training.formats.messages import Message, completion_content
from training.forms.language_model import GenerateForm
from training.gpt.config import HardwareConfig, SamplingConfig
from training.gpt.errors import InputError
from training.management.options import add_file_options, add_options, given_values, require_valid
from training.management.site_command import SiteCommand
from training.project_setup import read_prompts

if TYPE_CHECKING:  # imports torch, which takes seconds
    from training.gpt.generation.generate import Completion
    from training.gpt.tokenizer import Tokenizer

REPLACEMENT = "\ufffd"


class Command(SiteCommand):
    help = "Complete prompts with a policy, and print the completions; with --chat, answer them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "prompts",
            nargs="*",
            help="The prompts (default: the empty prompt; with --chat, a conversation line by line).",
        )
        parser.add_argument("--system", help="With --chat: the system message of each conversation.")
        parser.add_argument(
            "--file",
            help="Also complete the prompts in this file: one a line, or in any format of docs/formats.md "
            "(-: stdin).",
        )
        add_file_options(parser)
        output = parser.add_mutually_exclusive_group()
        output.add_argument(
            "--stream", action="store_true", help="Print each token as it is generated; Ctrl-C stops."
        )
        output.add_argument(
            "--logprobs", action="store_true", help="Print the log-probability of each token below each text."
        )
        output.add_argument(
            "--json",
            action="store_true",
            help="Print one line of JSON per completion: prompt, completion, tokens, logprobs, ended.",
        )
        add_options(parser, GenerateForm())

    def handle(
        self, *, prompts: list[str], file: str | None, stream: bool, system: str | None, **options: Any
    ) -> None:
        form = require_valid(GenerateForm(given_values(GenerateForm(), options)))
        chat = form.cleaned_data["chat"]
        try:
            if system is not None and not chat:
                raise InputError("--system: only a conversation has a system message; add --chat")
            if not all(map(is_text, [*prompts, system or ""])):
                raise InputError("prompt: is not valid UTF-8; pass it in UTF-8, or with --file")
            if file:
                path = Path("/dev/stdin" if file == "-" else file)
                read = read_prompts(
                    path,
                    format=options["format"],
                    columns=options["columns"],
                    encoding=options["encoding"],
                )
                prompts = [*prompts, *(as_prompt(each.prompt.text, each.prompt.messages) for each in read)]
            if chat:
                prompts = [ask(prompt, system=system) for prompt in prompts]
                if not prompts:
                    self.converse(form, system=system)
                    return
            with interruptible() as should_stop:
                write = self.stream if stream else self.write
                write(form, prompts or [""], should_stop, **options)
        except (InputError, ArtifactError) as error:
            raise CommandError(str(error)) from None

    def write(
        self,
        form: GenerateForm,
        prompts: Sequence[str],
        should_stop: Callable[[], bool],
        *,
        json: bool,
        logprobs: bool,
        **options: Any,  # noqa: ARG002
    ) -> None:
        """Generate all completions in batches, then print them."""
        from training.execution.model_loading import load_for_generation
        from training.gpt.generation.generate import complete

        model, tokenizer = load_for_generation(
            form.cleaned_data["policy"], form.config(HardwareConfig), chat=form.cleaned_data["chat"]
        )
        written = complete(
            model,
            tokenizer,
            prompts,
            form.config(SamplingConfig),
            samples_per_prompt=form.cleaned_data["samples"],
            should_stop=should_stop,
        )
        # There are fewer completions than prompts after an interruption.
        for prompt, completions in zip(prompts, written, strict=False):
            for completion in completions:
                text = prompt + completion.text
                if tokenizer.messages(prompt) is not None:
                    text = completion_content(completion.text)
                self.stdout.write(as_json(prompt, completion) if json else text)
                if logprobs:
                    self.stdout.write(as_table(completion, tokenizer))

    def stream(
        self,
        form: GenerateForm,
        prompts: Sequence[str],
        should_stop: Callable[[], bool],
        **options: Any,  # noqa: ARG002
    ) -> None:
        """Generate one completion after another, printing tokens as they come."""
        from training.execution.model_loading import load_for_generation
        from training.gpt.generation.generate import sampling_generator
        from training.gpt.generation.prompts import encode_prompts
        from training.gpt.generation.streaming import stream_text

        sampling = form.config(SamplingConfig)
        model, tokenizer = load_for_generation(
            form.cleaned_data["policy"], form.config(HardwareConfig), chat=form.cleaned_data["chat"]
        )
        encode_prompts(model, tokenizer, prompts)  # refuse before printing
        generator = sampling_generator(sampling, model.device)
        for prompt in [prompt for prompt in prompts for _ in range(form.cleaned_data["samples"])]:
            pieces = stream_text(
                model, tokenizer, prompt, sampling, generator=generator, should_stop=should_stop
            )
            if tokenizer.messages(prompt) is None:
                pieces = chain([prompt], pieces)
            else:
                pieces = without_space(pieces)
            self.print_pieces(chain(pieces, ["\n"]))
            if should_stop():
                break

    def converse(self, form: GenerateForm, *, system: str | None) -> None:
        """Answer each line of the standard input as the next turn of one conversation, until it ends.

        Ctrl-C ends an answer; at a question it ends the conversation.
        """
        from training.execution.model_loading import load_for_generation
        from training.gpt.generation.generate import sampling_generator
        from training.gpt.generation.streaming import stream_text

        sampling = form.config(SamplingConfig)
        model, tokenizer = load_for_generation(
            form.cleaned_data["policy"], form.config(HardwareConfig), chat=True
        )
        generator = sampling_generator(sampling, model.device)
        messages = list(conversation_with("", system))[:-1]
        for line in self.read_lines():
            messages.append({"role": "user", "content": line})
            said = []
            with interruptible() as should_stop:
                pieces = stream_text(
                    model,
                    tokenizer,
                    Conversation(messages),
                    sampling,
                    generator=generator,
                    should_stop=should_stop,
                )
                for piece in without_space(pieces):
                    said.append(piece)
                    self.print_pieces([piece])
            self.print_pieces(["\n"])
            messages.append({"role": "assistant", "content": "".join(said)})

    def read_lines(self) -> Iterator[str]:
        """The lines of the standard input that are not empty, each asked for in a terminal."""
        while True:
            if sys.stdin.isatty():
                self.print_pieces(["> "])
            try:
                line = sys.stdin.readline()
            except KeyboardInterrupt:
                line = ""
            if not line:
                return
            if line.strip():
                yield line.strip()

    def print_pieces(self, pieces: Iterable[str]) -> None:
        for piece in pieces:
            self.stdout.write(piece, ending="")
            self.stdout.flush()


def ask(prompt: str, *, system: str | None) -> Conversation:
    """A prompt as a conversation, after the system message unless it has its own."""
    if isinstance(prompt, Conversation):
        has_system = prompt.messages[0]["role"] == "system"
        return (
            prompt if has_system or not system else Conversation([system_message(system), *prompt.messages])
        )
    return Conversation(conversation_with(prompt, system))


def conversation_with(prompt: str, system: str | None) -> list[Message]:
    """A conversation of one question, after the system message if there is one."""
    question: Message = {"role": "user", "content": prompt}
    return [system_message(system), question] if system else [question]


def system_message(text: str) -> Message:
    return {"role": "system", "content": text}


def without_space(pieces: Iterator[str]) -> Iterator[str]:
    """The pieces of an answer, without the space that stands before it in the text of a conversation."""
    yield completion_content(next(pieces, ""))
    yield from pieces


def is_text(word: str) -> bool:
    """Whether a command-line argument was valid UTF-8: Python decodes other bytes to lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in word)


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C makes `should_stop` true; the second one raises KeyboardInterrupt."""
    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        nonlocal interrupted
        if interrupted:
            raise KeyboardInterrupt
        interrupted = True

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield lambda: interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def as_json(prompt: str, completion: "Completion") -> str:
    """A completion as one line of JSON."""
    values = {
        "prompt": prompt,
        "completion": completion.text,
        "tokens": completion.tokens,
        "logprobs": completion.logprobs,
        "ended": completion.ended,
    }
    if (messages := messages_of(prompt)) is not None:
        values["messages"] = messages
    return json.dumps(values, ensure_ascii=False)


def as_table(completion: "Completion", tokenizer: "Tokenizer") -> str:
    """A line per token: its log-probability, id and text."""

    def readable(token: int) -> str:
        text = tokenizer.decode([token])
        return repr(text) if text and REPLACEMENT not in text else tokenizer.token(token)

    return "\n".join(
        f"{logprob:10.4f} {token:7}  {readable(token)}"
        for token, logprob in zip(completion.tokens, completion.logprobs, strict=True)
    )
