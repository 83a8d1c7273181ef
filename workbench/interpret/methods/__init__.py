"""The methods of attribution: one table with each method's settings and source, which plug-ins add to"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from ... import interpret
from ...plugins import Table

__all__ = ["METHODS", "TABLE", "Method", "register_method"]


@dataclass(frozen=True)
class Method:
    """One way to attribute.

    Args:
        run: its function, from a `Job` to an `Outcome`; or, of the workbench's own, the module of this
            package whose ``run`` it is, so that nothing heavy is imported for the table.
        source: the paper.
        cost: what it costs, in words.
        options: its settings with their defaults.
        gradients: whether it needs gradients.
        unit: what the values of its maps are, for the label of a figure.
    """

    run: str | Callable[[interpret.Job], interpret.Outcome]
    source: str
    cost: str
    options: Mapping[str, Any] = field(default_factory=dict)
    gradients: bool = False
    unit: str = "evidence (nats)"

    def function(self) -> Callable[[interpret.Job], interpret.Outcome]:
        """The function, imported if need be."""
        return import_module(f"{__package__}.{self.run}").run if isinstance(self.run, str) else self.run


_BUILT_IN: dict[str, Method] = {
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
    "embedding_x_gradient": Method(
        "embeddings",
        "Shrikumar et al. 2016, arXiv 1605.01713, at the image tokens",
        "1 backward",
        gradients=True,
        unit="size of the slope (nats of log-odds)",
    ),
    "attn_lrp": Method(
        "embeddings",
        "Achtibat et al. 2024, arXiv 2402.05602",
        "1 backward",
        gradients=True,
        unit="relevance (nats of log-odds)",
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

TABLE = Table("method", _BUILT_IN)
"""All methods, those of plug-ins included."""

METHODS: tuple[str, ...] = tuple(_BUILT_IN)
"""Names of the workbench's own methods; the last two are references that every map must beat."""


def register_method(
    name: str,
    run: Callable[[interpret.Job], interpret.Outcome],
    *,
    source: str,
    cost: str,
    options: Mapping[str, Any] | None = None,
    gradients: bool = False,
    unit: str = "evidence (nats)",
) -> Method:
    """Add a method of attribution: ``attribute(vlm, answer, method=name)`` then runs it.

    Args:
        name: what it is called.
        run: from a `Job` (the scorer, the regions, a baseline, a seed, the settings) to an `Outcome` (values
            of regions, of elements of ``pixel_values``, or of prompt positions).
        source: the paper, or where it comes from.
        cost: what it costs, in words: "1 forward a region".
        options: its settings with their defaults; `attribute` takes them by name and refuses others.
        gradients: whether it needs gradients.
        unit: what the values of its maps are, for the label of a figure.

    Raises:
        InputError: for a name that is taken.

    Example::

        def edges(job):
            return Outcome(values=...)

        register_method("edges", edges, source="Canny 1986", cost="nothing")
    """
    return TABLE.register(name, Method(run, source, cost, dict(options or {}), gradients, unit))
