"""Nets: tensors in, tensors out, no knowledge of flows."""

from .attention import CausalAttention
from .causal import CausalNet, Masked
from .concat_conv import ConcatConv
from .convolution import ConvNet
from .densenet import DenseNet
from .flattened import Flattened
from .gated import GatedConvNet
from .gated_masked_conv import GatedMaskedConvNet
from .gated_mlp import GatedMLP
from .image_transformer import ImageTransformer
from .ladder import ConvLadderBlock, LadderBlock, LadderStem
from .lipschitz import LipschitzMLP, LipschitzNet
from .lipschitz_conv import LipschitzConv
from .lipswish import CLipSwish, LipSwish, Sine
from .made import MADE
from .masked_conv import MaskedConvNet
from .mlp import MLP, ResidualMLP
from .patches import Patches
from .pixel_rnn import PixelRNN
from .pixel_snail import SnailNet
from .potential import PotentialNet
from .prefix import Prefix
from .resnet import ResNet
from .row import Row
from .sites import SiteHead, SiteNet
from .spectral import SpectralLinear
from .spectral_conv import SpectralConv2d
from .subset import SubsetNet
from .time_mlp import TimeMLP
from .transformer import CausalTransformer
from .two_streams import ShiftedConvNet
from .unet import UNet
from .velocity import VelocityNet
from .wavenet import WaveNet

__all__ = [
    "CLipSwish",
    "CausalAttention",
    "CausalNet",
    "CausalTransformer",
    "ConcatConv",
    "ConvLadderBlock",
    "ConvNet",
    "DenseNet",
    "Flattened",
    "GatedConvNet",
    "GatedMLP",
    "GatedMaskedConvNet",
    "ImageTransformer",
    "LadderBlock",
    "LadderStem",
    "LipSwish",
    "LipschitzConv",
    "LipschitzMLP",
    "LipschitzNet",
    "MADE",
    "MLP",
    "Masked",
    "MaskedConvNet",
    "Patches",
    "PixelRNN",
    "PotentialNet",
    "Prefix",
    "ResNet",
    "ResidualMLP",
    "Row",
    "ShiftedConvNet",
    "Sine",
    "SiteHead",
    "SiteNet",
    "SnailNet",
    "SpectralConv2d",
    "SpectralLinear",
    "SubsetNet",
    "TimeMLP",
    "UNet",
    "VelocityNet",
    "WaveNet",
]
