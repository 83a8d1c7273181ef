"""A sweep on a Ray cluster: one task a run; what a lost node was at goes on elsewhere from its checkpoint"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from ..bench.cluster import connected
from .engines import TRIES, Look, Outcome
from .recipe import Recipe

__all__ = ["on_cluster"]

#: Seconds that a run waits for its own lost worker, which may take a moment to die.
LINGER = 60.0


def _work(recipe: dict[str, Any], root: str, options: dict[str, Any]) -> dict[str, Any]:
    """One run, in a process of the cluster."""
    from workbench.ablate.engines import attempt
    from workbench.ablate.recipe import Recipe

    return dataclasses.asdict(attempt(Recipe.from_dict(recipe), Path(root), options))


def on_cluster(
    recipes: Sequence[Recipe],
    root: Path,
    options: dict[str, Any],
    *,
    workers: int | None,
    address: str | None,
    look: Look,
) -> Generator[Outcome, None, None]:
    """Work on a cluster; see `workbench.bench.cluster.connected` for which one.

    Yields:
        The outcome of each run as it ends.

    Raises:
        CapabilityError: if Ray is not installed.
        WorkbenchError: if the cluster is not there.
    """
    with connected(address) as ray:
        gpu = str(options["device"]).startswith("cuda")
        # Tries are counted here: Ray's own do not tell a node that died from a run that kills its workers.
        resources = {"num_cpus": 1, "num_gpus": int(gpu), "max_retries": 0}
        task = ray.remote(**resources)(_work)
        waiting = deque((recipe, 0) for recipe in recipes)
        running: dict[Any, tuple[Recipe, int]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < (workers or len(recipes)):
                    recipe, tries = waiting.popleft()
                    told = {**options, "wait": max(options["wait"], LINGER)} if tries else options
                    running[task.remote(recipe.to_dict(), str(root), told)] = (recipe, tries)
                done, _ = ray.wait(list(running), num_returns=1, timeout=0.5)
                look()
                for future in done:
                    recipe, tries = running.pop(future)
                    outcome = _outcome(ray, future, recipe, tries)
                    if outcome is None:
                        waiting.appendleft((recipe, tries + 1))
                    else:
                        yield outcome
        finally:
            for future in running:
                ray.cancel(future, force=True)


def _outcome(ray: Any, future: Any, recipe: Recipe, tries: int) -> Outcome | None:
    """How a task ended; None if its worker was lost and it is to be tried again."""
    lost = (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError)
    try:
        return Outcome(**ray.get(future))
    except lost as error:
        if tries + 1 < TRIES:
            return None
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return Outcome(recipe.hash, f"its worker was lost {TRIES} times: {reason}")
    except ray.exceptions.RayTaskError as error:
        return Outcome(recipe.hash, f"{type(error.cause).__name__}: {error.cause}")
