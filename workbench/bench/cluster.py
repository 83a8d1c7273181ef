"""A run shared out over a Ray cluster: each worker loads the model, the driver keeps the replies"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import CapabilityError, WorkbenchError
from .cache import is_remote, model_fingerprint
from .engines import Asking, Replies, ask_in_batches, batches

__all__ = ["ask_on_cluster", "connected"]

#: How often a batch is tried whose worker died; then something about it kills workers.
TRIES = 3


#: Settings of a cluster on this machine alone. Ray takes 127.0.0.1 for itself only where it takes clusters of
#: several machines for unsupported, and its agents need more than its 30 seconds on a busy machine.
LOCAL = {
    "RAY_AUTH_MODE": "token",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_raylet_start_wait_time_s": "180",
    "RAY_agent_register_timeout_ms": "180000",
}


class _Worker:
    """One copy of the model, in a process of the cluster."""

    def __init__(self, source: str, options: dict[str, Any], fingerprint: str) -> None:
        from ..models.load import load

        self._vlm: Any = load(source, progress=False, **options)
        found = model_fingerprint(self._vlm)
        if found != fingerprint:
            raise WorkbenchError(
                f"the worker loaded another model from {source!r} ({found}, the driver has {fingerprint})",
                "the same weights on every node",
                "give the nodes the same files",
            )

    def ask(self, askings: Sequence[Asking]) -> list[tuple[str, dict[str, Any]]]:
        """Replies to one batch, by their keys."""
        asked = ask_in_batches(self._vlm, askings, batch_size=len(askings))
        return [(asking.key, fields) for some in asked for asking, fields in some]


def ask_on_cluster(vlm: Any, askings: Sequence[Asking], *, batch_size: int, workers: int) -> Replies:
    """Ask on a Ray cluster, ``workers`` copies of the model at the same time.

    Uses the cluster that this process is connected to, or that ``RAY_ADDRESS`` names, else starts one on this
    machine (see `connected`).  A worker takes one GPU where the model is on one, else one CPU.  A batch whose
    worker dies is given to another one.

    Args:
        vlm: a model loaded here; workers load the same source with the same options and check that it is.
        askings: what to ask.
        batch_size: questions at a time on a worker.
        workers: copies of the model.

    Yields:
        The replies of each batch as it is finished.

    Raises:
        CapabilityError: if Ray is not installed, or the model was not loaded here by `workbench.load`.
        WorkbenchError: if a worker cannot load the model, or a batch kills its worker again and again.
    """
    if is_remote(vlm) or not hasattr(vlm, "load_options"):
        raise CapabilityError(
            f"{vlm.name} on a Ray cluster",
            "a model that each worker can load",
            "a server is asked many questions at once with engine='here' and workers=N",
        )
    with connected() as ray:
        gpu = str(vlm.device).startswith("cuda")
        actor = ray.remote(num_cpus=1, num_gpus=int(gpu), max_restarts=2)(_Worker)
        told = (vlm.source, dict(vlm.load_options), model_fingerprint(vlm))
        waiting = deque((0, batch) for batch in batches(askings, batch_size))
        copies = [actor.remote(*told) for _ in range(min(workers, len(waiting)))]
        yield from _share_out(ray, copies, waiting)


def _share_out(ray: Any, copies: list[Any], waiting: deque[tuple[int, list[Asking]]]) -> Replies:
    """Give each worker the next batch when it has finished one."""
    idle: deque[Any] = deque(copies)
    running: dict[Any, tuple[Any, int, list[Asking]]] = {}
    while waiting or running:
        while waiting and idle:
            tries, batch = waiting.popleft()
            worker = idle.popleft()
            running[worker.ask.remote(_portable(batch))] = (worker, tries, batch)
        done, _ = ray.wait(list(running), num_returns=1)
        for future in done:
            worker, tries, batch = running.pop(future)
            idle.append(worker)
            try:
                replies = ray.get(future)
            except ray.exceptions.RayActorError as error:
                if tries + 1 >= TRIES:
                    raise WorkbenchError(
                        f"a batch ended its worker {TRIES} times: {_first_line(error)}",
                        "workers that live",
                        "look at memory; try a smaller batch_size, or fewer workers",
                    ) from None
                waiting.appendleft((tries + 1, batch))
                continue
            except ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, WorkbenchError) else error from None
            own = {asking.key: asking for asking in batch}
            yield [(own[key], fields) for key, fields in replies]


def _portable(batch: Sequence[Asking]) -> list[Asking]:
    """The batch with its pictures in it: the files may not be there on another node."""
    from dataclasses import replace

    moved = []
    for asking in batch:
        pictures = () if asking.blind == "blind" else tuple(asking.item.open())
        moved.append(replace(asking, item=replace(asking.item, images=pictures)))
    return moved


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def connected(address: str | None = None) -> Iterator[Any]:
    """Ray, connected to a cluster; one that is started here ends here.

    A cluster that is started here listens on 127.0.0.1 only, asks for a token, and has no dashboard.

    Args:
        address: of a cluster ("host:port"); None for the one of ``RAY_ADDRESS``, or a new one here.

    Raises:
        CapabilityError: if Ray is not installed.
        WorkbenchError: if there is no cluster at the address.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    if address is None:  # before Ray is imported: it reads these then
        for name, value in {**LOCAL, "RAY_AUTH_TOKEN": secrets.token_hex(32)}.items():
            os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        fix = "pip install 'vlm-workbench[ray]'"
        raise CapabilityError("a Ray cluster without Ray", "Ray", fix) from None
    if ray.is_initialized():
        yield ray
        return
    if address is None:
        _read_settings_anew()
    if address is not None:
        _knock(address)
    local: dict[str, Any] = {"_node_ip_address": "127.0.0.1", "include_dashboard": False}
    try:
        # "local": without it Ray would join whatever cluster runs on this machine already
        ray.init(address=address or "local", log_to_driver=False, **(local if address is None else {}))
    except (ConnectionError, ValueError, RuntimeError) as error:
        if address is None:
            raise
        raise WorkbenchError(
            f"no Ray cluster at {address!r}: {_first_line(error)}",
            "the address of a running cluster, and its token in RAY_AUTH_TOKEN",
            "ray status --address=... shows whether it is there; without an address one is started here",
        ) from None
    except Exception as error:  # Ray raises this class itself where its processes take too long
        if "timed out during startup" not in str(error):
            raise
        ray.shutdown()
        raise WorkbenchError(
            "Ray's processes did not start in time on this machine",
            "a machine that is less busy: Ray gives its agents 15 seconds",
            "try again, or start a cluster with ray start and name it in RAY_ADDRESS",
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Refuse an address at which nothing answers: Ray itself would try for minutes.

    Raises:
        WorkbenchError: if no connection can be made within ten seconds.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        return  # "auto", "local" and the like are Ray's to understand
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise WorkbenchError(
            f"no Ray cluster at {address!r}: {error}",
            "the address of a running cluster, and its token in RAY_AUTH_TOKEN",
            "ray status --address=... shows whether it is there; without an address one is started here",
        ) from None


def _read_settings_anew() -> None:
    """Make Ray notice these settings where it was imported before; ``ray start`` does the same to itself."""
    with contextlib.suppress(ImportError, KeyError, AttributeError):
        from ray import _raylet
        from ray._private import ray_constants

        vars(_raylet)["Config"].initialize("")
        ray_constants.ENABLE_RAY_CLUSTER = False
