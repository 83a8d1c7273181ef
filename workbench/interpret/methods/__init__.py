"""The methods of attribution: one table, each method's settings and source"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["METHODS", "TABLE", "Method"]


@dataclass(frozen=True)
class Method:
    """One way to attribute.

    Args:
        module: where in this package its function ``run(job)`` lies.
        source: the paper.
        cost: what it costs, in words.
        options: its settings with their defaults.
        gradients: whether it needs gradients.
        unit: what the values of its maps are.
    """

    module: str
    source: str
    cost: str
    options: Mapping[str, Any] = field(default_factory=dict)
    gradients: bool = False
    unit: str = "evidence (nats)"


TABLE: dict[str, Method] = {
    "input_x_gradient": Method(
        "gradients", "Shrikumar et al. 2016, arXiv 1605.01713", "1 backward", gradients=True
    ),
    "integrated_gradients": Method(
        "gradients",
        "Sundararajan et al. 2017, arXiv 1703.01365",
        "steps backwards",
        {"steps": 64},
        gradients=True,
    ),
    "gradient_shap": Method(
        "gradients",
        "Lundberg and Lee 2017, arXiv 1705.07874",
        "samples backwards",
        {"samples": 32},
        gradients=True,
    ),
    "occlusion": Method("regional", "Zeiler and Fergus 2014, arXiv 1311.2901", "1 forward a region"),
    "shapley_sampling": Method(
        "regional",
        "Castro et al. 2009; Strumbelj and Kononenko 2010",
        "samples forwards a region",
        {"samples": 8, "exact": None},
    ),
    "kernel_shap": Method(
        "regional",
        "Lundberg and Lee 2017, arXiv 1705.07874",
        "samples forwards",
        {"samples": None, "exact": None},
    ),
    "greedy": Method(
        "greedy",
        "Chen et al. 2025, arXiv 2509.22496",
        "2 (width + 1) forwards a region",
        {"width": 8},
        unit="change of the objective",
    ),
    "chefer": Method(
        "relevance", "Chefer et al. 2021, arXiv 2103.15679", "1 backward", gradients=True, unit="relevance"
    ),
    "tam": Method(
        "activation", "Li et al. 2025, arXiv 2506.23270", "1 forward", {"denoise": True}, unit="activation"
    ),
    "attention": Method(
        "relevance",
        "the mean of all heads and layers",
        "1 backward",
        gradients=True,
        unit="share of the attention",
    ),
    "rollout": Method(
        "relevance",
        "Abnar and Zuidema 2020, arXiv 2005.00928",
        "1 backward",
        gradients=True,
        unit="share of the flow",
    ),
    "random": Method("priors", "a reference: noise", "nothing", unit="noise, without a unit"),
    "centre": Method(
        "priors", "a reference: the middle of the picture", "nothing", unit="nearness to the middle"
    ),
}

METHODS: tuple[str, ...] = tuple(TABLE)
"""Names of all methods; the last two are references that every map must beat."""
