"""Fully sharded data parallelism: each process keeps a part of every weight, gradient and moment."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from ..core import Chain, Flow, Hooked, Transform
from ..core.term import Term


def shard(objective: nn.Module, part: nn.Module) -> None:
    """Share out all parameters of an objective among the processes, in place, by torch's FSDP2.

    From here on a parameter is a ``DTensor``. The weights of a unit (:func:`units`) are gathered when it is entered, let go when it has
    answered, and gathered once more for its gradient; what stands in none is whole while the objective is called. So calling the
    objective computes what it did before; other methods of the model, such as ``sample``, have no weights to compute with.

    Memory: ``20 / processes`` bytes for each parameter, and weights and gradients of the largest unit.

    Reference: PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel, Zhao et al., 2023, arXiv:2304.11277.

    Arguments:
        objective: where the model has been started and is alike on all processes.
        part: the model in it.

    Raises:
        ValueError: a model that can't be shared out, with the reason.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    found = units(part)
    obstacle = "" if found else "the model has no layers or blocks with weights"
    for name, parameter in objective.named_parameters():
        if not parameter.dim():
            obstacle = f"{name} is a single number"
    if any(refreshed(module) for module in objective.modules()):
        obstacle = "the model keeps spectral norms, which look at all weights before a step"
    if any(isinstance(module, Chain) and module.memory != "full" for module in objective.modules()):
        obstacle = "layers that save memory (model.memory) handle the weights themselves"
    if obstacle:
        raise ValueError(f"train.strategy=fsdp: {obstacle}; leave train.strategy at ddp")
    warnings.filterwarnings("ignore", "FSDP2-wrapped module", UserWarning)  # that views may be written on, which no objective does
    mesh = init_device_mesh(next(objective.parameters()).device.type, (torch.distributed.get_world_size(),))
    empty = {parameter for parameter in objective.parameters() if not parameter.numel()}  # would lose their shape
    for parameter in empty:
        parameter.requires_grad_(False)
    for unit in found:
        fully_shard(unit, mesh=mesh, ignored_params=empty)
        for name in getattr(unit, "entries", ()):
            register_fsdp_forward_method(unit, name)
    fully_shard(objective, mesh=mesh, ignored_params=empty)


def units(model: nn.Module) -> list[nn.Module]:
    """What is gathered together, inner ones first: the layers of each chain, and the blocks of nets that stand in no layer."""
    found: dict[nn.Module, None] = {}

    def walk(module: nn.Module, within: bool) -> None:
        for child in module.children():
            weights = any(True for _ in child.parameters())
            member = isinstance(module, nn.ModuleList) and not isinstance(child, (nn.ModuleList, nn.ModuleDict))
            layer = weights and member and isinstance(child, Transform) and not isinstance(child, Chain)
            block = weights and member and not within and not isinstance(child, Term)
            walk(child, within or layer or block)
            if layer or block:
                found[child] = None

    walk(model, False)
    return list(found)


def refreshed(module: nn.Module) -> bool:
    """Whether it has state that follows from its weights, and is brought up to date before each step."""
    return isinstance(module, Hooked) and type(module).refresh not in (Hooked.refresh, Flow.refresh)


def gathered(tensor: Tensor) -> Tensor:
    """A tensor put together from the parts that the processes hold; all of them must ask."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def local(tensor: Tensor) -> Tensor:
    """The part that this process holds, as a view."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def shared_out(tensor: Tensor, like: Any) -> Tensor:
    """The opposite of :func:`gathered`: a tensor that all processes have, shared out as ``like`` is."""
    if not hasattr(like, "placements") or tensor.shape != like.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
