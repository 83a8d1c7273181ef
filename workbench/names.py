"""Names that lead to the right one: old names work for one release, a guess is told the word it meant.

`verb` stands on functions that users call: it takes arguments under their old names, with a warning, and
answers an unknown one with the workbench's word for it.  `Named` does the same for the attributes of a
handle or record, and `face` for the names of a room.  What users of Transformers, captum, TransformerLens
or lmms-eval write is in `ARGUMENTS` and `ATTRIBUTES`.

`later` names a verb of a room above: ``answer.plot()`` draws with `workbench.viz`, and that room is
imported when the verb is called, so that no record imports what stands above it.
"""

from __future__ import annotations

import functools
import numbers
import os
import re
import reprlib
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, ParamSpec, TypeVar

import lazy_loader

from .errors import (
    ArgumentError,
    InputError,
    LoadError,
    UnknownNameError,
    WorkbenchError,
    matching_torchvision,
)

__all__ = ["ARGUMENTS", "ATTRIBUTES", "Named", "deprecated", "face", "later", "refuse_argument", "verb"]


P = ParamSpec("P")
R = TypeVar("R")

ARGUMENTS: dict[str, tuple[str, ...]] = {
    # Transformers, OpenAI's and other chat interfaces
    "prompt": ("question",),
    "text": ("question",),
    "query": ("question",),
    "messages": ("history",),
    "image": ("images",),
    "picture": ("image", "images"),
    "pictures": ("images",),
    "pixel_values": ("images",),
    "max_new_tokens": ("max_tokens",),
    "max_length": ("max_tokens",),
    "max_completion_tokens": ("max_tokens",),
    "do_sample": ("temperature",),
    "thinking": ("mode",),
    "enable_thinking": ("mode",),
    "reasoning_effort": ("mode",),
    "max_thinking_tokens": ("thinking_budget",),
    "output_attentions": ("capture",),
    "model_id": ("source",),
    "model_name": ("source",),
    "pretrained": ("source",),
    "pretrained_model_name_or_path": ("source",),
    "torch_dtype": ("dtype",),
    "device_map": ("device",),
    "load_in_4bit": ("quantize",),
    "load_in_8bit": ("quantize",),
    "quantization_config": ("quantize",),
    # captum and TransformerLens
    "model": ("vlm", "source"),
    "baselines": ("baseline",),
    "baseline": ("baselines",),
    "feature_mask": ("regions",),
    "segments": ("regions",),
    "n_samples": ("samples", "n_resamples"),
    "n_steps": ("steps",),
    "internal_batch_size": ("batch_size",),
    "perturbations_per_eval": ("batch_size",),
    "layers": ("layer",),
    "heads": ("head",),
    "pos": ("place",),
    "positions": ("place",),
    # lmms-eval and VLMEvalKit
    "tasks": ("task",),
    "task": ("tasks",),
    "data": ("tasks", "task"),
    "gen_kwargs": ("max_tokens",),
    "reference": ("gold",),
    "references": ("gold",),
    "ground_truth": ("gold",),
    "label": ("gold",),
    "target": ("gold",),
    "num_samples": ("n", "limit"),
    "num_fewshot": ("history",),
    "output_path": ("folder", "path"),
    "work_dir": ("folder",),
    "output_dir": ("folder",),
    # anyone's
    "random_state": ("seed",),
    "verbose": ("progress",),
    "show_progress": ("progress",),
}
"""What an argument is called elsewhere -> its words here; the first that a function has is meant."""

ATTRIBUTES: dict[str, str] = {
    # Transformers
    "generate": "vlm.ask(images, question), or vlm.model.generate for Transformers' own",
    "forward": "vlm.model, which is the Transformers model",
    "eval": "vlm.model, which is the Transformers model",
    "to": "workbench.load(source, device=...)",
    "from_pretrained": "workbench.load(source)",
    "load_model": "workbench.load(source)",
    "pipeline": "workbench.load(source)",
    "AutoModel": "workbench.load(source)",
    "attentions": "answer.attention, of an answer with capture=True",
    "response": "answer.text",
    "content": "answer.text",
    "reasoning": "answer.thought",
    "thinking": "answer.thought",
    # captum
    "IntegratedGradients": "workbench.interpret.attribute(vlm, answer, method='integrated_gradients')",
    "GradientShap": "workbench.interpret.attribute(vlm, answer, method='gradient_shap')",
    "InputXGradient": "workbench.interpret.attribute(vlm, answer, method='input_x_gradient')",
    "Occlusion": "workbench.interpret.attribute(vlm, answer, method='occlusion')",
    "FeatureAblation": "workbench.interpret.attribute(vlm, answer, method='occlusion')",
    "ShapleyValueSampling": "workbench.interpret.attribute(vlm, answer, method='shapley_sampling')",
    "KernelShap": "workbench.interpret.attribute(vlm, answer, method='kernel_shap')",
    "visualize_image_attr": "attribution.plot(), or workbench.viz.overlay",
    "visualize": "plot()",
    "attributions": "attribution.maps",
    "infidelity_score": "attribution.check()",
    # TransformerLens
    "HookedTransformer": "workbench.load(source)",
    "run_with_cache": "vlm.ask(images, question, capture=True), then answer.attention",
    "run_with_hooks": "workbench.interpret.knockout and workbench.interpret.patch_region",
    "activation_patching": "workbench.interpret.patch_region",
    "patch": "workbench.interpret.patch_region",
    "to_tokens": "vlm.tokenizer",
    # lmms-eval
    "simple_evaluate": "workbench.bench.run(vlm, tasks)",
    "evaluate": "workbench.bench.run(vlm, tasks)",
    "bench_run": "workbench.bench.run(vlm, tasks)",
    "to_pandas": "frame()",
    "to_df": "frame()",
    "df": "frame()",
}
"""What something is called elsewhere -> what to write here."""


def verb(*places: str, **old: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function take arguments as they were given before, and explain those that it does not have.

    Args:
        places: arguments that could once be given by place, after those that still can.
        old: old name -> name now.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        code = function.__code__
        known = frozenset(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])

        @functools.wraps(function)
        def call(*args: P.args, **named: P.kwargs) -> R:
            by_place: tuple[Any, ...] = args
            by_name: dict[str, Any] = named
            if len(args) > code.co_argcount or not known.issuperset(named):
                by_place, by_name = as_now(function, args, named, places, old)
            _refuse_missing(function, by_place, by_name)
            try:
                return function(*by_place, **by_name)
            except (TypeError, ValueError, AttributeError) as error:
                if not isinstance(error, WorkbenchError):
                    _explain(function, by_place, by_name, error)
                raise

        return call

    return decorate


def _refuse_missing(function: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Refuse a call without what the function needs.

    Raises:
        ArgumentError: with the call as it should be.
    """
    code, only_named = function.__code__, function.__kwdefaults__ or {}
    places = code.co_varnames[: code.co_argcount]
    needed = list(places[: len(places) - len(function.__defaults__ or ())])
    by_name = code.co_varnames[code.co_argcount :][: code.co_kwonlyargcount]
    needed += [word for word in by_name if word not in only_named]
    missing = [word for word in needed if word not in (*places[: len(args)], *named)]
    if missing:
        guesses = ((word, meant) for word in named for meant in ARGUMENTS.get(word, ()) if meant in missing)
        fix = next((f"{word}: did you mean {meant}?" for word, meant in guesses), "")
        shown = [f"{word}=..." if word in by_name else word for word in needed if word not in ("self", "cls")]
        name = _called(function)
        raise ArgumentError(f"{name}(...) without {', '.join(missing)}", f"{name}({', '.join(shown)})", fix)


def _called(function: Callable[..., Any]) -> str:
    """What a user writes to call it: of a class's ``__init__`` the class."""
    return function.__qualname__.removesuffix(".__init__").rpartition(".")[2]


# What an annotation says about a value: which classes it may have, and the word for it.
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "int": ((numbers.Integral,), "a whole number"),
    "float": ((numbers.Real,), "a number"),
    "str": ((str,), "text"),
    "bool": ((bool,), "True or False"),
    "None": ((type(None),), "None"),
    "Path": ((os.PathLike,), "a path"),
    "PathLike": ((os.PathLike,), "a path"),
    "Sequence": ((Sequence,), "a sequence"),
    "Iterable": ((Iterable,), "a sequence"),
    "Mapping": ((Mapping,), "a mapping"),
    "tuple": ((tuple,), "a tuple"),
}


def _explain(
    function: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any], error: Exception
) -> None:
    """Tell a raw error by the argument that is not of the kind that its annotation says, if one is not.

    Raises:
        InputError: naming it.
    """
    for word, value in {**dict(zip(function.__code__.co_varnames, args)), **named}.items():
        outermost = re.sub(r"\[.*?\](?= \||$)", "", str(function.__annotations__.get(word, "")))
        heads = [head.rpartition(".")[2] for head in outermost.split(" | ")]
        own = {kind.__name__ for kind in type(value).__mro__}
        if not all(head in _KINDS or head in _RECORDS for head in heads):
            continue
        if not any(head in own or isinstance(value, _KINDS.get(head, ((), ""))[0]) for head in heads):
            kinds = dict.fromkeys(_KINDS[head][1] if head in _KINDS else _RECORDS[head] for head in heads)
            given = f"{_called(function)}(..., {word}={reprlib.repr(value)})"
            raise InputError(given, f"for {word}: {' or '.join(kinds)}") from error


_RECORDS = {
    "Answer": "an answer of vlm.ask(...)",
    "VLM": "a model of workbench.load(...)",
    "Model": "a model of workbench.load(...)",
    "Results": "results of workbench.bench",
    "Recipe": "a workbench.Recipe",
}


def as_now(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    named: dict[str, Any],
    places: Sequence[str],
    old: dict[str, str],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call as the function takes them now; see `verb`.

    Raises:
        ArgumentError: for one that the function does not have, or that is given twice.
    """
    code, name = function.__code__, _called(function)
    taken, open_ended = code.co_argcount, code.co_flags & 0x08  # inspect.CO_VARKEYWORDS: it has **options
    known = code.co_varnames[: taken + code.co_kwonlyargcount]
    given = {word: value for word, value in named.items() if word in known}
    moved = [(f"{word} by place", word, value) for word, value in zip(places, args[taken:], strict=False)]
    moved += [(f"{word}=", old.get(word, word), value) for word, value in named.items() if word not in known]
    for was, word, value in moved:
        if word in given:
            raise ArgumentError(f"{name}(...) with {was} and {word}=", f"{word}= alone")
        if word in known:
            deprecated(f"{name}(...) with {was}", f"{name}(..., {word}=...)", above=1)
        elif not open_ended:
            refuse_argument(name, word, known)
        given[word] = value
    return args[:taken] + args[taken + len(places) :], given


def refuse_argument(function: str, name: str, known: Collection[str], *, given: str = "") -> NoReturn:
    """Refuse an argument, with the one that was meant.

    Args:
        function: the name of the function, or of the method that takes options.
        name: what was given.
        known: the names that it has.
        given: what was given, where more than the argument tells it.

    Raises:
        ArgumentError: always.
    """
    meant = next((word for word in ARGUMENTS.get(name, ()) if word in known), None) or nearest(name, known)
    shown = ", ".join(word for word in known if word not in ("self", "cls"))
    fix = f"{name}: did you mean {meant}?" if meant else ""
    raise ArgumentError(f"{function}({given or f'..., {name}=...'})", f"of: {shown}", fix)


def unknown_name(owner: str, name: str, known: Collection[str]) -> UnknownNameError:
    """The error for a name that a module or an object does not have, with the one that was meant."""
    near = nearest(name, known)
    fix = ATTRIBUTES.get(name) or (f"did you mean {near}?" if near else "")
    return UnknownNameError(f"{owner} has no attribute {name!r}", "", fix)


def nearest(name: str, known: Collection[str]) -> str | None:
    """The most similar of some names, if one is."""
    import difflib

    near = difflib.get_close_matches(
        name, [word for word in known if not word.startswith("_")], n=1, cutoff=0.65
    )
    return near[0] if near else None


def deprecated(old: str, new: str, *, above: int = 0) -> None:
    """Warn that an old name goes with the next release, at the line that called the caller, or ``above``."""
    warnings.warn(f"{old} is now {new}", DeprecationWarning, stacklevel=3 + above)


class Named:
    """A base for what users hold: an unknown attribute is answered with the name that was meant.

    Old attributes are named where a class is made: ``class Counterfactual(Named, how="baseline")``.
    """

    _old_names: ClassVar[dict[str, str]] = {}

    def __init_subclass__(cls, **old: str) -> None:
        super().__init_subclass__()
        cls._old_names = {**cls._old_names, **old}

    if not TYPE_CHECKING:  # a type checker knows the attributes

        def __getattr__(self, name: str) -> Any:
            new = type(self)._old_names.get(name)
            if new is None:
                raise unknown_name(type(self).__name__, name, dir(type(self)))
            deprecated(f"{type(self).__name__}.{name}", new)
            return getattr(self, new)


def face(name: str, file: str, **old: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """The names of a room, each imported when first used from the module that the stub ``__init__.pyi`` says.

    Args:
        name, file: the room's ``__name__`` and ``__file__``.
        old: old name -> name now, or "module:name" for one that no longer stands in the room.

    Returns:
        ``__getattr__``, ``__dir__`` and ``__all__`` of the room.
    """
    get, names, public = lazy_loader.attach_stub(name, file)

    def __getattr__(wanted: str) -> Any:
        if wanted in old:
            module, _, now = old[wanted].rpartition(":")
            if module:  # it says itself what to write now
                return getattr(import_module(f"{name}.{module}"), now)
            deprecated(f"{name}.{wanted}", f"{name}.{now}")
            return getattr(sys.modules[name], now)
        if wanted in public:
            try:
                return get(wanted)
            except WorkbenchError:
                raise
            except (ImportError, OSError, RuntimeError) as error:  # a broken library raises all kinds
                if (told := _unusable(error)) is None:
                    raise
                raise told from error
        raise unknown_name(name, wanted, public)

    return __getattr__, names, public


#: Whose frames only pass an import on.
_IMPORTING = {"", "importlib", "_frozen_importlib", "lazy_loader", "transformers", "workbench"}


def _unusable(error: BaseException) -> LoadError | None:
    """What to say where a package that is there fails when it is imported; None for another error."""
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    if isinstance(error, ModuleNotFoundError):
        return None
    trace, names = error.__traceback__, []
    while trace is not None:
        names.append(str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0])
        trace = trace.tb_next
    package = next((name for name in names if name not in _IMPORTING), None)
    if package is None:
        return None
    why = (str(error) or type(error).__name__).splitlines()[0]
    fix = f"install a {package} that fits the packages here, or uninstall it"
    return LoadError(
        f"{package}, which fails when it is imported: {why}",
        "packages that were built for one another",
        f"{matching_torchvision()}; or uninstall it" if package == "torchvision" else fix,
    )


def later(room: str, name: str) -> Callable[..., Any]:  # Any: each verb has arguments and a result of its own
    """The verb ``name`` of ``workbench.<room>``, which is imported when the verb is called.

    Args:
        room: a room's name, such as "viz", or one of its modules.
        name: a name that stands there.
    """

    def call(*args: Any, **options: Any) -> Any:
        return getattr(import_module(f"{__package__}.{room}"), name)(*args, **options)

    return call
