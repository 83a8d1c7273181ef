"""The front door stays light, and its names resolve."""

from __future__ import annotations

import subprocess
import sys

import pytest
from house import fresh

import workbench


@pytest.mark.parametrize(
    "statement",
    [
        "import workbench",
        "import workbench.cli",
        "from workbench import Answer, Mode, data_path, errors, types",
        "import workbench; dir(workbench); hasattr(workbench, 'nothing')",
    ],
)
def test_the_front_door_imports_neither_torch_nor_transformers(statement: str) -> None:
    heavy = "{'torch', 'transformers', 'matplotlib', 'pandas', 'captum'} & set(sys.modules)"
    assert fresh(f"import sys\n{statement}\nprint({heavy} or 'light')") == "light"


@pytest.mark.slow
@pytest.mark.parametrize(
    "statement",
    [
        "workbench.load()",
        "workbench.interpret.attribute",
        "workbench.ablate.run",
        "from workbench.train import attention",
        "from workbench.ablate import variant",
    ],
)
def test_libraries_below_print_nothing(statement: str) -> None:
    code = f"import workbench\n{statement}\nimport transformers.modeling_utils"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", workbench.__all__)
def test_every_name_of_the_front_door_resolves(name: str) -> None:
    value = getattr(workbench, name)
    assert value is not None
    assert name in dir(workbench)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        _ = workbench.nothing_of_that_name
