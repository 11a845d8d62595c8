"""Which loss a fit minimises, by its name and options."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from ..core import Flow
from .apart import has_latent
from .elbo import ELBO
from .flow_matching import FlowMatching
from .iwae import IWAE
from .likelihood import MaximumLikelihood
from .regularized import RegularizedLikelihood

Objective = Literal["auto", "likelihood", "elbo", "iwae", "flow_matching"]

OPTIONS: dict[str, dict[str, Any]] = {
    "likelihood": {"kinetic": 0.0, "jacobian": 0.0, "end_spread": 0.0},
    "elbo": {"beta": 1.0, "kl_warmup": 0.0, "free_bits": 0.0},
    "iwae": {"draws": 5, "doubly": False},
    "flow_matching": {"pairing": "independent"},
}


def choose_objective(flow: Flow, name: Objective = "auto", **options: Any) -> nn.Module:
    """The loss of that name with options from :data:`OPTIONS`: :class:`MaximumLikelihood` or :class:`RegularizedLikelihood`,
    :class:`ELBO`, :class:`IWAE` or :class:`FlowMatching`; "auto" takes the bound for models with a random latent, else the likelihood.

    Raises:
        ValueError: another name, an option that is none of this objective's, or a model that it is not for.
    """
    name = ("elbo" if has_latent(flow) else "likelihood") if name == "auto" else name
    if name not in OPTIONS:
        *names, last = ("auto", *OPTIONS)
        raise ValueError(f"fit: expected objective {', '.join(names)} or {last}, got {name!r}")
    values = dict(OPTIONS[name])
    for option, value in options.items():
        owner = next(other for other, owned in OPTIONS.items() if option in owned)
        if owner == name:
            values[option] = value
        elif value != OPTIONS[owner][option]:
            raise ValueError(f"fit: train.{option} is an option of train.objective={owner}, but the objective is {name}; leave it out")
    if name == "elbo":
        return ELBO(flow, beta=values["beta"], warmup=values["kl_warmup"], free_bits=values["free_bits"])
    if name == "iwae":
        return IWAE(flow, **values)
    if name == "flow_matching":
        return FlowMatching(flow, **values)
    if values == OPTIONS[name]:
        return MaximumLikelihood(flow)
    return RegularizedLikelihood(flow, kinetic=values["kinetic"], jacobian=values["jacobian"], spread=values["end_spread"])
