"""Several processes that train one model, as ``torchrun`` starts them.

Every process runs the same code on its share of each batch. The first one decides what depends on a clock or
a person, tells the others, and alone writes files and reports; so none ever waits for one that went
elsewhere. A batch is that of all processes together: the loss is the same as that of one process.
"""

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.rendezvous import rendezvous
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from training.gpt.errors import InputError
from training.gpt.model import GPT


@dataclass(frozen=True)
class Group:
    """The processes of one training, seen from one of them; alone, it has nobody to talk to."""

    rank: int = 0
    size: int = 1
    store: Store | None = None  # where a process leaves its last words

    @property
    def is_first(self) -> bool:
        """Whether this process decides, writes and reports."""
        return self.rank == 0

    def agreed(self, values: Tensor) -> Tensor:
        """The first process's ``values``; on the CPU, and of one shape everywhere."""
        if self.size > 1:
            dist.broadcast(values, src=0)
        return values

    def clock(self) -> float:
        """The first process's clock, in seconds."""
        return float(self.agreed(torch.tensor(time.monotonic(), dtype=torch.float64)))

    def told(self, question: Callable[[], bool]) -> bool:
        """The first process's answer; the others do not ask."""
        return bool(self.agreed(torch.tensor(self.is_first and question(), dtype=torch.uint8)))

    def mean(self, value: Tensor) -> Tensor:
        """The mean of ``value`` over all processes."""
        if self.size > 1:
            dist.all_reduce(value)
            value /= self.size
        return value

    @contextmanager
    def errors_told(self) -> Iterator[None]:
        """A block in which what an ``InputError`` says in one process, the others say too."""
        try:
            yield
        except InputError as error:
            if self.store:
                self.store.set("error", str(error))
            raise
        except RuntimeError as error:
            # A collective failed because somebody left: that one's message is the one to give.
            if self.store and self.store.check(["error"]):
                raise InputError(self.store.get("error").decode()) from error
            if isinstance(error, dist.DistError) or "gloo" in str(error):
                raise InputError(
                    f"processes: another of the {self.size} ended early; see what it said, or who killed it"
                ) from error
            raise


_here = Group()


def is_launched() -> bool:
    """Whether ``torchrun`` started this process, with others beside it."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def processes() -> Iterator[Group]:
    """Join the processes that ``torchrun`` started, if it did; inside another such context, use that group.

    An error in one process ends all: what an ``InputError`` said in one, the others say too.
    """
    global _here  # noqa: PLW0603 - a process is in one group, as torch has it
    if _here.size > 1 or not is_launched():
        with _here.errors_told():
            yield _here
        return
    store, rank, size = next(rendezvous("env://"))
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        backend = "cpu:gloo,cuda:nccl"
    else:
        backend = "gloo"
    dist.init_process_group(backend, store=PrefixStore("group", store), rank=rank, world_size=size)
    _here = Group(rank, size, store)
    with _here.errors_told():
        yield _here
    # After an error nobody gets here: the others may be stuck, and only the end of this process frees them.
    _here = Group()
    # Whatever held the group longer would end it with Python's lock, waiting for threads that want the lock.
    gc.collect()
    dist.destroy_process_group()


def spread(module: nn.Module, model: GPT, how: str, group: Group) -> nn.Module:
    """``module``, whose forward uses ``model``, so that its gradients are averaged over the processes.

    ``how`` is ``ddp`` (every process holds the whole model) or ``fsdp`` (FSDP2: each holds a part of every
    tensor, and borrows the rest block by block; Zhao et al. 2023). The weights must be equal everywhere, and
    under ``fsdp`` every process must go through the model as often as the others.
    """
    if group.size == 1:
        return module
    if how != "fsdp":
        return DistributedDataParallel(module, forward_sync_buffers=False, gradient_as_bucket_view=True)
    mesh = init_device_mesh(model.device.type, (group.size,))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for method in ("hidden", "states", "logits"):
        register_fsdp_forward_method(model, method)
    owned = set(model.parameters())
    if any(parameter not in owned for parameter in module.parameters()):
        fully_shard(module, mesh=mesh)  # a head of its own
    return module


def unsynchronised(module: nn.Module, model: GPT, *, last: bool) -> AbstractContextManager[None]:
    """A context for the passes over one piece of a batch: gradients are only averaged after the last."""
    if isinstance(model, FSDPModule):
        for each in {model, module}:
            if isinstance(each, FSDPModule):
                each.set_requires_gradient_sync(last)
    elif isinstance(module, DistributedDataParallel) and not last:
        return module.no_sync()
    return nullcontext()


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor of which each process may hold a part; every process must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part_like(tensor: Tensor, like: Tensor) -> Tensor:
    """Of a whole tensor that every process has, the part that this one holds of ``like``."""
    if isinstance(like, DTensor):
        return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)
    return tensor


def whole_model(model: GPT) -> GPT:
    """The model with all of its weights, to evaluate or to save; every process must ask."""
    if not isinstance(model, FSDPModule):
        return model
    weights = {name: whole(tensor) for name, tensor in model.state_dict().items()}
    with torch.device("meta"):
        copy = GPT(model.config)
    copy.load_state_dict(weights, assign=True)
    copy.rotation = model.rotation
    return copy.train(model.training)
