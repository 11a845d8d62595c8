"""Nets: tensors in, tensors out, no knowledge of flows."""

from .attention import CausalAttention
from .convolution import ConvNet
from .gated import GatedConvNet
from .made import MADE
from .masked import Masked
from .mlp import MLP, ResidualMLP
from .patches import Patches
from .prefix import Prefix
from .resnet import ResNet
from .transformer import CausalTransformer

__all__ = [
    "CausalAttention",
    "CausalTransformer",
    "ConvNet",
    "GatedConvNet",
    "MADE",
    "MLP",
    "Masked",
    "Patches",
    "Prefix",
    "ResNet",
    "ResidualMLP",
]
