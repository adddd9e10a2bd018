"""Three small classifiers of 32x32 images; the plan names these functions as factories."""

from __future__ import annotations

import torch
from torch import nn

CLASSES = 10


class Residual(nn.Module):
    """Two convolutions and a way around them; halves the image when ``stride`` is 2."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.two = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.around = nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Take (n, before, h, w) and give (n, after, h / stride, w / stride)."""
        inner = torch.relu(self.norm1(self.one(x)))
        return torch.relu(self.norm2(self.two(inner)) + self.around(x))


class Block(nn.Module):
    """One transformer block with plain linear layers, which quantizers recognise."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Take and give (n, tokens, width)."""
        n, tokens, width = x.shape
        y = self.norm1(x)
        q, k, v = (
            part(y).reshape(n, tokens, self.heads, width // self.heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        weights = torch.softmax(q @ k.transpose(2, 3) * (width // self.heads) ** -0.5, dim=-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(n, tokens, width))
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    """A small vision transformer on 8x8 patches."""

    def __init__(self, width: int = 192, depth: int = 3, heads: int = 4) -> None:
        super().__init__()
        self.patches = nn.Linear(64, width)
        self.position = nn.Parameter(torch.randn(1, 16, width) * 0.02)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Take images (n, 1, 32, 32) and give class scores (n, 10)."""
        patches = nn.functional.unfold(x, 8, stride=8).transpose(1, 2)
        return self.head(self.norm(self.blocks(self.patches(patches) + self.position)).mean(dim=1))


def cnn() -> nn.Module:
    """Return a residual CNN with about 1.2 million weights."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, 2, 1),
        nn.ReLU(),
        Residual(32, 64, 2),
        Residual(64, 128, 2),
        Residual(128, 192, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(192, CLASSES),
    )


def mlp() -> nn.Module:
    """Return a plain network with about 0.9 million weights."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(1024, 640),
        nn.ReLU(),
        nn.Linear(640, 384),
        nn.ReLU(),
        nn.Linear(384, CLASSES),
    )


def transformer() -> nn.Module:
    """Return a transformer with about 1.4 million weights."""
    return Transformer()


def student() -> nn.Module:
    """Return a network small enough to be taught by the others (about 4,000 weights)."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, 4, 1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, 2, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, CLASSES),
    )
