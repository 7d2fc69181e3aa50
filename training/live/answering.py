"""Writing an answer: a thread of this process reads the model's stream, and stores what has come so far.

The page asks every moment what is stored, so that neither threads of the web server nor open connections
wait for a model. If the process dies, its answers are marked as failed after a while (`fail_stalled`).
"""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable

from django.db import DatabaseError, connections, transaction

from labeling.models import Prompt
from training.formats.messages import render_messages
from training.gpt.config import SamplingConfig
from training.models import LiveAnswer

logger = logging.getLogger(__name__)

SAVE_SECONDS = 0.2
SIGN_OF_LIFE_SECONDS = 5.0
MAX_AT_ONCE = 32
"""Answers that one process reads at once."""
MAX_ANSWER_CHARACTERS = 100_000
BUSY = "Too many answers are being written at the moment: try again shortly."

_slots = threading.BoundedSemaphore(MAX_AT_ONCE)


class Reader:
    """Reads a stream of text in a thread of its own; another thread looks at what has come."""

    def __init__(self, stream: Callable[[], AsyncIterator[str]]) -> None:
        self.text = ""
        self.error = ""
        self.ended = threading.Event()
        self._stream = stream
        self._stopping = False
        threading.Thread(target=self._run, name="live-reader", daemon=True).start()

    def stop(self) -> None:
        """Stop at the next piece of text."""
        self._stopping = True

    def _run(self) -> None:
        try:
            asyncio.run(self._read())
        except Exception as error:  # noqa: BLE001 -- whatever it is, the page says it
            self.error = str(error) or type(error).__name__
        finally:
            self.ended.set()

    async def _read(self) -> None:
        async for piece in self._stream():
            self.text += piece
            if self._stopping or len(self.text) > MAX_ANSWER_CHARACTERS:
                break


def begin_answer(answer: LiveAnswer) -> None:
    """Let the model write its answer, once the current transaction is committed."""

    def begin() -> None:
        if not _slots.acquire(blocking=False):
            answer.write(status=LiveAnswer.Status.FAILED, error=BUSY)
            return
        threading.Thread(target=_write, args=(answer,), name="live-answer", daemon=True).start()

    transaction.on_commit(begin)


def _write(answer: LiveAnswer) -> None:
    """Store the answer as it comes."""
    try:
        write_answer(answer)
    except DatabaseError:
        logger.exception("%s cannot be stored", answer)
    finally:
        connections.close_all()
        _slots.release()


def write_answer(answer: LiveAnswer) -> None:
    """Store the text as it comes, every moment, and in the end that it is done or why it failed."""
    # The HTTP client is large: only processes that ask models load it.
    from training.live.streams import open_stream

    prompt = prompt_of(answer)
    sampling = SamplingConfig(**answer.turn.parameters)
    try:
        reader = Reader(open_stream(answer.generator, prompt, sampling))
    except Exception as error:  # noqa: BLE001 -- such as a missing key
        answer.write(status=LiveAnswer.Status.FAILED, error=str(error))
        return
    stored, stored_at = "", time.monotonic()
    while not reader.ended.wait(SAVE_SECONDS):
        text, now = storable(reader.text), time.monotonic()
        if text != stored or now - stored_at > SIGN_OF_LIFE_SECONDS:
            if not answer.write(text=text):
                reader.stop()
                return
            stored, stored_at = text, now
    text = storable(reader.text)
    problem = reader.error or ("" if text.strip() else "The model wrote nothing.")
    status = LiveAnswer.Status.FAILED if problem else LiveAnswer.Status.DONE
    answer.write(text=text, status=status, error=problem)


def prompt_of(answer: LiveAnswer) -> Prompt:
    """What the model is asked, as a prompt that is not stored."""
    turn = answer.turn
    if not turn.conversation.is_chat:
        return Prompt(text=turn.content)
    messages = turn.messages(answer.position)
    return Prompt(text=render_messages(messages), messages=messages)


def storable(text: str) -> str:
    """The text without what PostgreSQL cannot store: NUL, and halves of surrogate pairs."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
