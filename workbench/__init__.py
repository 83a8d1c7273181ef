"""vlm-workbench: ask a vision-language model, switch its thinking on and off, and look inside.

A tour, each line works in a notebook::

    import workbench

    vlm = workbench.load()                       # the built-in model; no download, no GPU
    sample = workbench.synth.sample("chain", 1, seed=0)[0]
    answer = vlm.ask(sample.images, sample.question, mode="think")
    answer.thought, answer.text, answer.seconds  # an `Answer`: also tokens, spans, layout
    vlm.compare_modes(sample.images, sample.question)

    answer = vlm.ask(sample.images, sample.question, mode="think", capture=True)
    workbench.ui.AttentionExplorer(answer)       # hover a word: where it looked
    why = workbench.interpret.attribute(vlm, answer, method="occlusion")
    why.check(sample=sample).verdict             # can this map be trusted?
    workbench.bench.run(vlm, "suite", folder="runs/suite")  # 600 questions in three modes

    workbench.plan("microsoft/Phi-4-reasoning-vision-15B")  # does it fit here, and which call to make
    vlm = workbench.load("microsoft/Phi-4-reasoning-vision-15B", quantize="int4")
    workbench.doctor()                           # what this machine can run, and what to install

Nothing heavy is imported until a name is used: `import workbench` loads neither torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import ablate, bench, errors, interpret, synth, types, ui, viz
    from .answer import Answer
    from .data import data_path
    from .models.doctor import doctor
    from .models.load import load
    from .models.plan import plan
    from .types import Mode

__version__ = "0.1.0"
__all__ = [
    "Answer",
    "Mode",
    "ablate",
    "bench",
    "data_path",
    "doctor",
    "errors",
    "interpret",
    "load",
    "plan",
    "synth",
    "types",
    "ui",
    "viz",
]

_HOME = {
    "Answer": "answer",
    "Mode": "types",
    "data_path": "data",
    "doctor": "models.doctor",
    "load": "models.load",
    "plan": "models.plan",
}


def __getattr__(name: str) -> Any:
    """Import a name of the front door when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f".{_HOME.get(name, name)}", __name__)
    value = getattr(module, name) if name in _HOME else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
