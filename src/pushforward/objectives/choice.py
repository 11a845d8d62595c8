"""Which loss a fit minimises, by its name and options."""

from __future__ import annotations

from typing import Literal

from torch import nn

from ..core import Flow
from .apart import has_latent
from .elbo import ELBO
from .flow_matching import FlowMatching, Pairing
from .iwae import IWAE
from .likelihood import MaximumLikelihood

Objective = Literal["auto", "likelihood", "elbo", "iwae", "flow_matching"]


def choose_objective(
    flow: Flow,
    name: Objective = "auto",
    *,
    beta: float = 1.0,
    kl_warmup: float = 0.0,
    free_bits: float = 0.0,
    draws: int = 5,
    doubly: bool = False,
    pairing: Pairing = "independent",
) -> nn.Module:
    """The loss of that name: :class:`MaximumLikelihood`, :class:`ELBO`, :class:`IWAE` or :class:`FlowMatching`; "auto" takes the bound for
    models with a random latent, else the likelihood.

    Raises:
        ValueError: another name, an option that is none of this objective's, or a model that it is not for.
    """
    name = ("elbo" if has_latent(flow) else "likelihood") if name == "auto" else name
    given = {"beta": beta != 1, "kl_warmup": kl_warmup != 0, "free_bits": free_bits != 0, "draws": draws != 5, "doubly": doubly}
    given["pairing"] = pairing != "independent"
    taken = {"likelihood": (), "elbo": ("beta", "kl_warmup", "free_bits"), "iwae": ("draws", "doubly"), "flow_matching": ("pairing",)}
    if name not in taken:
        raise ValueError(f"fit: expected objective auto, likelihood, elbo, iwae or flow_matching, got {name!r}")
    for option in (option for option, there in given.items() if there and option not in taken[name]):
        owner = next(other for other, options in taken.items() if option in options)
        raise ValueError(f"fit: train.{option} is an option of train.objective={owner}, but the objective is {name}; leave it out")
    if name == "elbo":
        return ELBO(flow, beta=beta, warmup=kl_warmup, free_bits=free_bits)
    if name == "flow_matching":
        return FlowMatching(flow, pairing=pairing)
    return IWAE(flow, draws=draws, doubly=doubly) if name == "iwae" else MaximumLikelihood(flow)
