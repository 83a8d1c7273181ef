"""Optimisers and schedule of the small models: Muon for hidden matrices, AdamW for everything else.

PyTorch's own Muon orthogonalises in bfloat16 always.  On a CPU without bfloat16 units that took 2.4 of
3.4 seconds of a training step of the built-in model (LOG.md); here the caller says which it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

__all__ = ["Muon", "Schedule", "build_optimisers", "fast_bf16", "orthogonalise"]


@dataclass(frozen=True)
class Schedule:
    """The learning rate over a run: linear warm-up, a plateau, linear decay to zero; then, where there is
    one, a warm restart (Loshchilov and Hutter 2017): warm-up to another peak, and a fall to zero at the end.

    Args:
        steps: of the whole run.
        lr: on the plateau, of Muon (matched to AdamW's scale) and of AdamW.
        warmup: steps until the plateau, or the restart's peak.
        decay: share of the steps, at the end or before the restart, in which the rate falls.
        restart: step of the restart and its peak.
    """

    steps: int
    lr: float = 2e-3
    warmup: int = 200
    decay: float = 0.3
    restart: tuple[int, float] | None = None

    def rate(self, step: int) -> float:
        """The learning rate of a step, the first of which is 0."""
        begin, peak, end, decay = 0, self.lr, self.steps, self.decay
        if self.restart is not None:
            if step < self.restart[0]:
                end = self.restart[0]
            else:
                (begin, peak), decay = self.restart, 1.0
        down = max(1, round(decay * (end - begin)))
        return peak * min(1.0, (step - begin + 1) / self.warmup, max(0.0, (end - step) / down))


def fast_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 fast; a CPU without units for it emulates it, very slowly."""
    if device.type != "cpu":
        return True
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def build_optimisers(
    modules: Iterable[nn.Module], *, lr: float, weight_decay: float, bf16: bool = False
) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices of some modules, AdamW for embeddings, heads, norms and biases."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for module in modules:
        for name, parameter in module.named_parameters():
            hidden = parameter.ndim == 2 and not any(
                k in name for k in ("embed_tokens", "lm_head", "position_embedding")
            )
            (matrices if hidden else others).append(parameter)
    return [
        Muon(matrices, lr=lr, weight_decay=weight_decay, bf16=bf16),
        torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.98), weight_decay=weight_decay),
    ]


#: Quintic Newton-Schulz coefficients of Jordan et al. 2024: steep at zero, near one elsewhere.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: torch.Tensor, steps: int = 5, *, bf16: bool = False) -> torch.Tensor:
    """Matrices ``[count, rows, cols]`` with all singular values brought near one (Newton-Schulz)."""
    x = matrices.bfloat16() if bf16 else matrices.float()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT.contiguous()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised (Jordan et al. 2024), at AdamW's scale (Liu et al. 2025).

    Args:
        params: matrices only.
        lr: learning rate, comparable with AdamW's.
        weight_decay: decoupled, times ``lr``.
        momentum: of the gradient, with Nesterov's look ahead.
        bf16: orthogonalise in bfloat16, for hardware that is fast at it.
    """

    def __init__(
        self,
        params: Iterable[torch.nn.Parameter],
        *,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        bf16: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self.bf16 = bf16
        for group in self.param_groups:
            assert all(p.ndim == 2 for p in group["params"]), "Muon takes matrices"

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:
        """One update; matrices of one shape are orthogonalised together."""
        assert closure is None, "a closure is not used here"
        for group in self.param_groups:
            shapes: dict[torch.Size, list[torch.nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in shapes.items():
                looked = torch.stack([self._momentum(p, group) for p in parameters])
                updates = orthogonalise(looked, bf16=self.bf16)
                rate = group["lr"] * 0.2 * max(shape) ** 0.5
                for parameter, update in zip(parameters, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update, alpha=-rate)

    def _momentum(self, parameter: torch.nn.Parameter, group: dict[str, Any]) -> torch.Tensor:
        state, beta = self.state[parameter], group["momentum"]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        state["momentum_buffer"].lerp_(parameter.grad, 1 - beta)
        return parameter.grad.lerp(state["momentum_buffer"], beta)
