"""A sweep as a file: one recipe, and the fields that are varied"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from .fields import refuse_unknown
from .recipe import Recipe, read_mapping

__all__ = ["expand", "read_sweep"]


def read_sweep(path: str | Path) -> list[Recipe]:
    """The recipes of a .yaml or .json file: a single recipe, or a sweep.

    A sweep has the keys ``recipe`` (fields that all share), ``vary`` (dotted field -> list of values; all
    combinations), ``rows`` (a list of fields, each a variant) and ``seeds`` (a number of replicates, or a
    list)::

        recipe: {budget: 10000, reasoning: {domains: [maths, computer_use]}}
        vary:
          reasoning.share: [0, 0.1, 0.2]
        seeds: 3

    Raises:
        InputError: for a file that cannot be read, and for unknown or contradictory fields, by name.
    """
    return expand(read_mapping(path))


def expand(fields: Mapping[str, Any]) -> list[Recipe]:
    """The recipes of a sweep's fields; see `read_sweep`."""
    names = ["recipe", "vary", "rows", "seeds"]
    if not set(fields) & set(names):
        return [Recipe.from_dict(fields)]
    refuse_unknown(fields, names, "the sweep")
    vary, rows = fields.get("vary") or {}, fields.get("rows") or [{}]
    if not isinstance(vary, Mapping) or not all(isinstance(v, list) and v for v in vary.values()):
        raise InputError(f"vary={vary!r}", "fields, each with a list of values")
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise InputError(f"rows={rows!r}", "a list of fields")
    made = []
    for row in rows:
        for values in itertools.product(*vary.values()):
            own = copy.deepcopy(dict(fields.get("recipe") or {}))
            for name, value in [*row.items(), *zip(vary, values, strict=True)]:
                _put(own, name, value)
            made += [Recipe.from_dict({**own, "seed": seed}) for seed in _seeds(fields, own)]
    return made


def _put(fields: dict[str, Any], name: str, value: Any) -> None:
    """Set a dotted field."""
    *path, last = str(name).split(".")
    for part in path:
        inner = fields.get(part)
        fields[part] = dict(inner) if isinstance(inner, Mapping) else {}
        fields = fields[part]
    fields[last] = value


def _seeds(fields: Mapping[str, Any], own: Mapping[str, Any]) -> list[Any]:
    seeds = fields.get("seeds")
    if seeds is None:
        return [own.get("seed", 0)]
    if "seed" in own:
        raise InputError("seed beside seeds", "one of the two")
    if isinstance(seeds, int) and not isinstance(seeds, bool) and seeds >= 1:
        return list(range(seeds))
    if isinstance(seeds, list) and seeds:
        return seeds
    raise InputError(f"seeds={seeds!r}", "a number of replicates, or a list of seeds")
