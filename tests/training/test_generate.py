"""`manage.py generate`: what a policy writes, on the terminal."""

import io
import json
import os
import re
import signal
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.training.factories import LETTERS, letter_model, make_policy
from training.gpt.config import SamplingConfig
from training.gpt.generation.generate import complete

pytestmark = pytest.mark.django_db(transaction=True)


class Terminal(io.StringIO):
    """Remembers what was on the screen at each flush; presses Ctrl-C after so many."""

    def __init__(self, *, interrupt_after: int = 0) -> None:
        super().__init__()
        self.screens: list[str] = []
        self.interrupt_after = interrupt_after

    def flush(self) -> None:
        self.screens.append(self.getvalue())
        if len(self.screens) == self.interrupt_after:
            signal.raise_signal(signal.SIGINT)


def generate(*arguments: str, terminal: io.StringIO | None = None) -> str:
    terminal = terminal or io.StringIO()
    call_command("generate", *arguments, "--seed", "1", stdout=terminal)
    return terminal.getvalue()


def refusal(*arguments: str) -> str:
    with pytest.raises(CommandError) as caught:
        generate(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def expected(prompt: str, **options: object) -> str:
    """What the model itself writes."""
    ((written,),) = complete(*letter_model(), [prompt], SamplingConfig(seed=1, **options))  # type: ignore[arg-type]
    return prompt + written.text


def test_it_completes_prompts() -> None:
    make_policy()
    lines = generate("ab", "cd", "--samples", "2").splitlines()
    assert [line[:2] for line in lines] == ["ab", "ab", "cd", "cd"]
    assert generate("ab") == expected("ab") + "\n"
    assert generate() == expected("") + "\n"


def test_every_option_of_sampling_is_an_option() -> None:
    make_policy()
    options = {
        "temperature": 1.2,
        "top_k": 9,
        "top_p": 0.9,
        "min_p": 0.01,
        "repetition_penalty": 1.2,
        "stop": "h",
    }
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    assert generate("ab", *words) == expected("ab", **options) + "\n"
    assert "h" not in generate("ab", *words)
    assert generate("ab", "--beams", "3") == expected("ab", beams=3) + "\n"


def test_a_stop_text_may_begin_and_end_with_a_blank() -> None:
    make_policy()
    assert generate("ab", "--stop", " ") == expected("ab") + "\n"
    assert (
        generate("ab", "--stop", " h | |c", "--max-new-tokens", "3")
        == expected("ab", stop=" h | |c", max_new_tokens=3) + "\n"
    )


def test_a_stream_shows_each_piece_as_it_comes() -> None:
    make_policy()
    terminal = Terminal()
    written = generate("ab", "--stream", terminal=terminal)
    assert written == generate("ab")
    assert terminal.screens[0] == "ab", "the prompt stands there before the model has written"
    assert len(terminal.screens) > 5
    for before, after in zip(terminal.screens, terminal.screens[1:], strict=False):
        assert after.startswith(before)


def test_prompts_and_samples_are_streamed_one_after_another() -> None:
    make_policy()
    lines = generate("ab", "cd", "--samples", "2", "--stream").splitlines()
    assert [line[:2] for line in lines] == ["ab", "ab", "cd", "cd"]
    assert lines[0] != lines[1]


@pytest.mark.parametrize("pieces", [1, 4])
def test_an_interrupt_ends_a_stream_with_what_was_written(pieces: int) -> None:
    make_policy()
    terminal = Terminal(interrupt_after=pieces)
    before = signal.getsignal(signal.SIGINT)
    written = generate("ab", "cd", "--stream", "--max-new-tokens", "20", terminal=terminal)
    whole = expected("ab", max_new_tokens=20)
    assert written.endswith("\n")
    assert written.count("\n") == 1, "the next prompt is not begun"
    assert whole.startswith(written[:-1])
    assert len(written) - 1 < len(whole)
    assert signal.getsignal(signal.SIGINT) == before


def test_json_lines_say_all_there_is_to_know() -> None:
    make_policy()
    _, tokenizer = letter_model()
    rows = [json.loads(line) for line in generate("ab", "cd", "--json", "--samples", "2").splitlines()]
    assert [row["prompt"] for row in rows] == ["ab", "ab", "cd", "cd"]
    for row in rows:
        assert row["completion"] == tokenizer.decode(row["tokens"])
        assert len(row["logprobs"]) == len(row["tokens"])
        assert all(logprob < 0 for logprob in row["logprobs"])
        assert row["ended"] == (row["tokens"][-1] == tokenizer.eos_id)


def test_log_probabilities_stand_below_the_text() -> None:
    make_policy()
    (row,) = [json.loads(line) for line in generate("ab", "--json").splitlines()]
    text, *table = generate("ab", "--logprobs").splitlines()
    assert text == "ab" + row["completion"]
    assert len(table) == len(row["tokens"])
    for line, token, logprob in zip(table, row["tokens"], row["logprobs"], strict=True):
        found = re.fullmatch(r" *(-\d+\.\d{4}) +(\d+)  ('.'|<.+>)", line)
        assert found, line
        assert float(found[1]) == pytest.approx(logprob, abs=1e-4)
        assert int(found[2]) == token


def test_prompts_come_from_a_file(tmp_path: Path) -> None:
    make_policy()
    lines, objects = tmp_path / "prompts.txt", tmp_path / "prompts.jsonl"
    lines.write_text("ab\n\ncd\n")
    objects.write_text('{"prompt": "ab"}\n{"prompt": "cd"}\n')
    assert generate("--file", str(lines)) == generate("ab", "cd") == generate("--file", str(objects))
    assert "nowhere.txt" in refusal("--file", "nowhere.txt")


def test_prompts_come_from_a_pipe() -> None:
    make_policy()
    reading, writing = os.pipe()
    os.write(writing, b"ab\ncd\n")
    os.close(writing)
    before = os.dup(0)
    os.dup2(reading, 0)
    try:
        assert generate("--file", "-") == generate("ab", "cd")
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(reading)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--top-p", "1.5"], ["--top-p", "at most 1.0, not 1.5"]),
        (["--min-p", "-0.1"], ["--min-p", "at least 0.0"]),
        (["--repetition-penalty", "0"], ["--repetition-penalty", "above 0"]),
        (["--stop", "a||b"], ["--stop", "is empty"]),
        (["--beams", "4", "--top-k", "5"], ["--top-k", "beam search draws nothing"]),
        (["--beams", "4", "--stream"], ["beams", "only at the end"]),
        (["--beams", "2", "--samples", "3"], ["2 beams cannot give 3 samples"]),
        (["--stream", "--json"], ["--json", "not allowed with", "--stream"]),
        ([LETTERS * 6], ["prompt: 49 tokens", "context of 32", "shorten it to at most 31"]),
        (["caf\udce9"], ["prompt: is not valid UTF-8"]),
        (["ab", LETTERS * 6, "--stream"], ["prompt 2: 49 tokens", "context of 32"]),
    ],
)
def test_bad_input_is_named(arguments: list[str], words: list[str]) -> None:
    make_policy()
    message = refusal(*arguments)
    for word in words:
        assert word in message
