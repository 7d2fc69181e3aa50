"""Training one model in several processes, as ``torchrun`` starts them.

Every process runs the same code on its share of each batch. The main process (rank 0) makes every decision
that depends on a clock or a person and broadcasts it; it alone writes files and reports metrics. So no
process ever waits for one that took another path. The batch size is that of all processes together: the loss
equals that of a single process.
"""

import gc
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

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

Item = TypeVar("Item")


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of one training, as seen from one of them; by default a single process."""

    rank: int = 0
    world_size: int = 1
    store: Store | None = None  # where a failing process leaves its error message

    @property
    def is_main_process(self) -> bool:
        """Whether this is the process that decides, writes and reports."""
        return self.rank == 0

    def broadcast(self, values: Tensor) -> Tensor:
        """The main process's ``values``: a CPU tensor of the same shape in every process."""
        if self.world_size > 1:
            dist.broadcast(values, src=0)
        return values

    def broadcast_bool(self, predicate: Callable[[], bool]) -> bool:
        """The result of ``predicate`` in the main process; the others do not call it."""
        return bool(self.broadcast(torch.tensor(self.is_main_process and predicate(), dtype=torch.uint8)))

    def clock(self) -> float:
        """The main process's monotonic clock, in seconds."""
        return float(self.broadcast(torch.tensor(time.monotonic(), dtype=torch.float64)))

    def all_reduce_sum(self, value: Tensor) -> Tensor:
        """The sum of ``value`` over all processes, in place."""
        if self.world_size > 1:
            dist.all_reduce(value)
        return value

    def all_reduce_mean(self, value: Tensor) -> Tensor:
        """The mean of ``value`` over all processes, in place."""
        if self.world_size > 1:
            self.all_reduce_sum(value)
            value /= self.world_size
        return value

    def shard(self, items: Sequence[Item]) -> Sequence[Item]:
        """This process's share of ``items``: every ``world_size``-th; the shares may differ in length by
        one."""
        return items[self.rank :: self.world_size]

    def gather_shards(self, shard: Tensor, count: int) -> Tensor:
        """Put together [count, ...] what each process computed for its ``shard`` of ``count`` items."""
        if self.world_size == 1:
            return shard
        full = shard.new_zeros(count, *shard.shape[1:])
        full[self.rank :: self.world_size] = shard
        return self.all_reduce_sum(full)

    @contextmanager
    def raise_on_all_ranks(self) -> Iterator[None]:
        """A block in which an ``InputError`` of one process is raised in all of them."""
        try:
            yield
        except InputError as error:
            if self.store:
                self.store.set("error", str(error))
            raise
        except RuntimeError as error:
            # A collective failed because a process left: raise the message that it left.
            if self.store and self.store.check(["error"]):
                raise InputError(self.store.get("error").decode()) from error
            if isinstance(error, dist.DistError) or "gloo" in str(error):
                raise InputError(
                    f"processes: another of the {self.world_size} ended early; see its own output, or what"
                    " killed it"
                ) from error
            raise


_current = ProcessGroup()


def is_distributed() -> bool:
    """Whether ``torchrun`` started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def process_group() -> Iterator[ProcessGroup]:
    """Join the processes that ``torchrun`` started, if it did; a nested call gives the same group.

    An error in one process ends all of them, with the same ``InputError`` message.
    """
    global _current  # noqa: PLW0603 - a process belongs to one group, as in torch
    if _current.world_size > 1 or not is_distributed():
        with _current.raise_on_all_ranks():
            yield _current
        return
    store, rank, world_size = next(rendezvous("env://"))
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        backend = "cpu:gloo,cuda:nccl"
    else:
        backend = "gloo"
    dist.init_process_group(backend, store=PrefixStore("group", store), rank=rank, world_size=world_size)
    _current = ProcessGroup(rank, world_size, store)
    with _current.raise_on_all_ranks():
        yield _current
    # Not reached after an error: other processes may be stuck, and only the end of this one frees them.
    _current = ProcessGroup()
    # Without this, the group would be destroyed later while Python's lock is held, waiting for threads that
    # need it.
    gc.collect()
    dist.destroy_process_group()


def shard_batch(
    batch_size: int, *, accumulate: int, group: ProcessGroup, option: str = "batch_size"
) -> range:
    """Where this process's micro-batches start in each batch; the step of the range is their size.

    Every process has ``accumulate`` micro-batches, contiguous in the batch. Raises ``InputError``, naming the
    ``option`` that sets the batch size, if the batch does not divide evenly.
    """
    count = group.world_size * accumulate
    if batch_size % count:
        raise InputError(
            f"{option}: {batch_size} does not divide evenly among {group.world_size} processes with"
            f" accumulate {accumulate}; use a multiple of {count}"
        )
    size = batch_size // count
    start = group.rank * accumulate * size
    return range(start, start + accumulate * size, size)


def wrap_parallel(module: nn.Module, model: GPT, strategy: str, group: ProcessGroup) -> nn.Module:
    """Wrap ``module``, whose forward uses ``model``, so that its gradients are averaged over the processes.

    ``strategy`` is ``ddp`` (every process holds the full model) or ``fsdp`` (FSDP2: each holds a shard of
    every tensor and gathers the rest block by block; Zhao et al. 2023). The weights must be equal everywhere,
    and under ``fsdp`` all processes must make the same number of forward passes.
    """
    if group.world_size == 1:
        return module
    if strategy != "fsdp":
        return DistributedDataParallel(module, forward_sync_buffers=False, gradient_as_bucket_view=True)
    mesh = init_device_mesh(model.device.type, (group.world_size,))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for method in ("hidden", "packed_hidden", "logits"):
        register_fsdp_forward_method(model, method)
    owned = set(model.parameters())
    if any(parameter not in owned for parameter in module.parameters()):
        fully_shard(module, mesh=mesh)  # has parameters besides the model's, such as a head
    return module


def no_sync(module: nn.Module, model: GPT, *, enabled: bool) -> AbstractContextManager[None]:
    """A context for one micro-batch: while ``enabled``, gradients are accumulated without averaging them.

    Disable it for the last micro-batch of a batch.
    """
    if isinstance(model, FSDPModule):
        for each in {model, module}:
            if isinstance(each, FSDPModule):
                each.set_requires_gradient_sync(not enabled)
    elif isinstance(module, DistributedDataParallel) and enabled:
        return module.no_sync()
    return nullcontext()


def full_tensor(tensor: Tensor) -> Tensor:
    """The full tensor, of which each process may hold a shard; all processes must call this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shard_like(tensor: Tensor, like: Tensor) -> Tensor:
    """The shard of a full ``tensor`` that this process holds of ``like``; the tensor itself if not
    sharded."""
    if isinstance(like, DTensor):
        return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)
    return tensor


def full_model(model: GPT) -> GPT:
    """The model with all of its weights, to evaluate or save; all processes must call this."""
    if not isinstance(model, FSDPModule):
        return model
    weights = {name: full_tensor(tensor) for name, tensor in model.state_dict().items()}
    with torch.device("meta"):
        copy = GPT(model.config)
    copy.load_state_dict(weights, assign=True)
    copy.rotation = model.rotation
    return copy.train(model.training)
