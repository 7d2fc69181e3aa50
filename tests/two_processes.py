"""The same code in two processes that know of each other, as torchrun starts them."""

import multiprocessing
import os
import socket
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from training.gpt.errors import InputError

Answer = TypeVar("Answer")

PROCESSES = multiprocessing.get_context("forkserver")
# The optimiser would import Dynamo at its first step, in seconds, in every process.
PROCESSES.set_forkserver_preload(["tests.gpt.tiny_pretraining", "torch._dynamo"])


def in_two_processes(job: Callable[[int], Answer]) -> list[Answer | str]:
    """What `job`, called with its rank, gives in each of two processes, or the error it ends with."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    answers = PROCESSES.Queue()
    members = [PROCESSES.Process(target=_member, args=(rank, port, answers, job)) for rank in range(2)]
    for process in members:
        process.start()
    found = sorted((answers.get(timeout=60) for _ in members), key=lambda answer: int(answer[0]))
    for process in members:
        process.join()
    return [answer for _, answer in found]


def _member(rank: int, port: int, answers: Any, job: Callable[[int], Any]) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    torch.set_num_threads(1)
    try:
        answer = job(rank)
    except InputError as error:
        answer = str(error)
    answers.put((rank, answer))
    answers.close()
    answers.join_thread()
    # As torchrun's workers end: at once, whatever the others do.
    os._exit(0)
