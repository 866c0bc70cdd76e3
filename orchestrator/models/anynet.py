"""AnyNet as a torch module: a stem, stages of residual bottleneck blocks with grouped convolutions, and a head.

Source: Radosavovic et al., "Designing Network Design Spaces", arXiv 2003.13678, figure 3 and appendix; layers and
initialisation as in the authors' code (pycls).
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from orchestrator.blueprint.regnet import AnyNetDesign, Stage, Stem


def build_anynet(
    design: AnyNetDesign, *, in_channels: int = 3, num_classes: int = 1000, zero_init_final_norm: bool = False
) -> AnyNet:
    """A new network with random parameters from torch's default generator.

    Args:
        design: the architecture.
        in_channels: channels of the images.
        num_classes: logits of the head.
        zero_init_final_norm: the last norm of each block starts with scale 0, so that every block starts as an identity
            (Goyal et al., arXiv 1706.02677, section 5.1).
    """
    model = AnyNet(design, in_channels, num_classes)
    initialise(model, zero_init_final_norm=zero_init_final_norm)
    return model


class AnyNet(nn.Module):
    """(N, in_channels, H, W) -> (N, num_classes) logits."""

    def __init__(self, design: AnyNetDesign, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.stem = _stem(design.stem, in_channels)
        self.stages = nn.Sequential()
        width = design.stem.width
        for number, stage in enumerate(design.stages, start=1):
            self.stages.add_module(f"stage{number}", _stage(stage, width, design))
            width = stage.width
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, num_classes) of images (N, in_channels, H, W)."""
        logits: Tensor = self.head(self.stages(self.stem(images)))
        return logits


class BottleneckBlock(nn.Module):
    """relu(shortcut + transform): 1x1, grouped 3x3 with the stride, squeeze-and-excitation, 1x1.

    The shortcut is a strided 1x1 convolution with norm where the shape changes, else the identity.
    """

    def __init__(self, stage: Stage, inputs: int, stride: int, se_width: int) -> None:
        super().__init__()
        middle, outputs = stage.bottleneck_width, stage.width
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Sequential(_conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
        self.transform = nn.Sequential(
            _conv(inputs, middle, 1),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            _conv(middle, middle, 3, stride, stage.groups),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            SqueezeExcitation(middle, se_width) if se_width else nn.Identity(),
            _conv(middle, outputs, 1),
        )
        self.final_norm = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        y: Tensor = self.relu(self.shortcut(x) + self.final_norm(self.transform(x)))
        return y


class SqueezeExcitation(nn.Module):
    """Channels weighted by their global context: pool, 1x1, relu, 1x1, sigmoid (Hu et al., arXiv 1709.01507)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.excite = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> the same shape."""
        y: Tensor = x * self.excite(x)
        return y


def initialise(model: nn.Module, *, zero_init_final_norm: bool = False) -> None:
    """Convolutions N(0, 2 / fan-out), fan-out = k k outputs; norms 1 and 0; the linear layer N(0, 0.01^2) and bias 0.

    Biases of squeeze-and-excitation keep torch's default. Source: He et al., arXiv 1502.01852, and pycls.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = math.prod(module.kernel_size) * module.out_channels
            nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)
    if zero_init_final_norm:
        for module in model.modules():
            if isinstance(module, BottleneckBlock):
                nn.init.zeros_(module.final_norm.weight)


def _stem(stem: Stem, in_channels: int) -> nn.Sequential:
    return nn.Sequential(
        _conv(in_channels, stem.width, 3, stem.stride), nn.BatchNorm2d(stem.width), nn.ReLU(inplace=True)
    )


def _stage(stage: Stage, inputs: int, design: AnyNetDesign) -> nn.Sequential:
    first = BottleneckBlock(stage, inputs, stage.stride, design.se_width(inputs))
    se_width = design.se_width(stage.width)
    return nn.Sequential(first, *(BottleneckBlock(stage, stage.width, 1, se_width) for _ in range(stage.depth - 1)))


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Odd kernels padded by (k - 1) / 2; no bias, since a norm follows."""
    return nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)
