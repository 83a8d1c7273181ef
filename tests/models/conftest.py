"""Fixtures that several tests of models share."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_families
from servers import RawServer, Server, said
from tiny_families import Case

PHI4 = Path(__file__).parents[1] / "data" / "phi4_rv_tiny" / "checkpoint"


@pytest.fixture(scope="session", params=["phi4-rv", *tiny_families.FAMILIES])
def case(request, tmp_path_factory) -> Case:
    """Each family with a tiny model; skipped where its processor cannot run on this machine."""
    from workbench.errors import LoadError

    name = request.param
    if name == "smolvlm":
        pytest.importorskip("num2words", reason="SmolVLM's processor needs the package num2words")
    folder = PHI4 if name == "phi4-rv" else tiny_families.build(name, tmp_path_factory.mktemp(name))
    try:
        return Case.open(name, folder)
    except LoadError as error:
        if "torchvision" not in str(error):
            raise
        pytest.skip(str(error))


@pytest.fixture
def serve(monkeypatch):
    """Start a server from a script: a function from the request's body to what is sent."""
    from workbench.models import server_protocol

    monkeypatch.setattr(server_protocol, "BACKOFF", 0.001)
    servers = []

    def start(reply=None, **options):
        servers.append(Server(reply or (lambda body: said("yes")), **options))
        return servers[-1]

    yield start
    for server in servers:
        server.http.shutdown()
        server.http.server_close()


@pytest.fixture
def serve_raw(monkeypatch):
    """Start a server that sends bytes: a function that gives them for each request."""
    from workbench.models import server_protocol

    monkeypatch.setattr(server_protocol, "BACKOFF", 0.001)
    servers = []

    def start(reply, **options):
        servers.append(RawServer(reply, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
