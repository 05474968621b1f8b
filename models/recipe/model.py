"""A Llama in PyTorch, laid out as llama.cpp's `llama` architecture: tied embeddings, rotary
positions on neighbouring pairs, RMS norms, SwiGLU."""

import math

import torch
from torch import nn
from torch.nn import functional as F

EPSILON = 1e-5
ROTARY_BASE = 10000.0


def rotation(positions, size):
    """cos and sin, (positions, size / 2), for head size `size`."""
    rates = ROTARY_BASE ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
    angles = positions.to(torch.float32)[..., None] * rates
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    """x (rows, heads, positions, size): pairs (2i, 2i + 1) turn by their position's angle."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON) * self.weight


class Block(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.heads, width = shape.heads, shape.width
        self.attn_norm, self.ffn_norm = Norm(width), Norm(width)
        linear = lambda wide, out: nn.Linear(wide, out, bias=False)  # noqa: E731
        self.attn_q, self.attn_k, self.attn_v = (linear(width, width) for _ in range(3))
        self.attn_output = linear(width, width)
        self.ffn_gate, self.ffn_up = linear(width, shape.hidden), linear(width, shape.hidden)
        self.ffn_down = linear(shape.hidden, width)

    def split(self, x):
        rows, positions, width = x.shape
        return x.view(rows, positions, self.heads, width // self.heads).transpose(1, 2)

    def attend(self, x, turn, mask, cache):
        q, k = rotate(self.split(self.attn_q(x)), *turn), rotate(self.split(self.attn_k(x)), *turn)
        v = self.split(self.attn_v(x))
        if cache is not None:
            k, v = cache.extend(k, v)
        scores = q @ k.transpose(-1, -2) * (1 / math.sqrt(q.shape[-1])) + mask
        mixed = scores.softmax(-1) @ v
        return self.attn_output(mixed.transpose(1, 2).flatten(2))

    def forward(self, x, turn, mask, cache=None):
        x = x + self.attend(self.attn_norm(x), turn, mask, cache)
        y = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(y)) * self.ffn_up(y))


class Llama(nn.Module):
    def __init__(self, shape, vocabulary):
        super().__init__()
        self.shape, self.vocabulary = shape, vocabulary
        self.token_embd = nn.Embedding(vocabulary, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = Norm(shape.width)
        self.reset()

    def reset(self):
        nn.init.normal_(self.token_embd.weight, std=0.05)
        for name, weight in self.named_parameters():
            if weight.dim() == 2 and "token_embd" not in name:
                last = name.endswith(("attn_output.weight", "ffn_down.weight"))
                scale = 1 / math.sqrt(2 * self.shape.layers) if last else 1.0
                nn.init.normal_(weight, std=scale / math.sqrt(weight.shape[1]))

    def hidden(self, ids, positions, mask, caches):
        turn = rotation(positions, self.shape.width // self.shape.heads)
        if positions.dim() == 2:
            turn = tuple(part[:, None] for part in turn)
        x = self.token_embd(ids)
        for i, block in enumerate(self.blk):
            x = block(x, turn, mask, caches[i] if caches else None)
        return self.output_norm(x)

    def forward(self, ids):
        """Logits (rows, positions, vocabulary) of whole windows."""
        length = ids.shape[1]
        mask = torch.full((length, length), -math.inf).triu(1)
        return F.linear(self.hidden(ids, torch.arange(length), mask, None), self.token_embd.weight)

    def parameters_count(self):
        return sum(weight.numel() for weight in self.parameters())


class Cache:
    """Keys and values of one block for the tokens so far."""

    def __init__(self):
        self.k = self.v = None

    def extend(self, k, v):
        self.k = k if self.k is None else torch.cat((self.k, k), dim=2)
        self.v = v if self.v is None else torch.cat((self.v, v), dim=2)
        return self.k, self.v
