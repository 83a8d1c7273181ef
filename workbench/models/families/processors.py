"""Loading a model's processor, also where only its video part cannot run.

Transformers' video processors need torchvision.  A machine without it can still show pictures to a
model whose processor merely *has* a video part: that part is left out.
"""

from __future__ import annotations

from typing import Any

from ...errors import LoadError

__all__ = ["load_processor"]


def load_processor(source: Any, **kwargs: Any) -> Any:
    """The processor of a checkpoint, without its video part where that cannot be built here.

    Args:
        source: a folder in the Hub's layout, or a Hub id.
        kwargs: for ``AutoProcessor.from_pretrained`` (revision, token, trust_remote_code...).

    Raises:
        LoadError: if the checkpoint has no processor, or it needs something that is not installed.
    """
    from transformers import AutoProcessor
    from transformers.utils import is_torchvision_available

    from .. import phi4_rv  # noqa: F401  (registers the native classes)

    if not is_torchvision_available():
        kwargs.setdefault("backend", "pil")
    try:
        processor = AutoProcessor.from_pretrained(source, **kwargs)
    except (ImportError, ValueError) as error:
        if not any(word in str(error).lower() for word in ("torchvision", "video processor")):
            raise _unusable(source, error) from error
        return _without_video(source, error, kwargs)
    if not hasattr(processor, "tokenizer"):
        raise LoadError(
            f"{source}, whose processor is only a {type(processor).__name__}",
            "a model that takes pictures and text",
            "choose an image-text-to-text model",
        )
    return processor


def _unusable(source: Any, error: Exception) -> LoadError:
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    given = f"the processor of {source}, which cannot be built here: {line}"
    if "torchvision" in str(error).lower():
        return LoadError(given, "torchvision, built for your PyTorch", "pip install torchvision")
    if isinstance(error, ImportError):
        return LoadError(given, "all packages that this processor uses", "install the package named above")
    return LoadError(given, "tokenizer and preprocessor files beside config.json")


def _without_video(source: Any, error: Exception, kwargs: dict[str, Any]) -> Any:
    """Build the processor's own class, with one part fewer."""
    from transformers import AutoConfig
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    hub = {key: value for key, value in kwargs.items() if key not in ("backend", "use_fast")}
    cls = PROCESSOR_MAPPING.get(type(AutoConfig.from_pretrained(source, **hub)), None)
    if cls is None or "video_processor" not in cls.get_attributes():
        raise _unusable(source, error) from error
    try:
        return _pictures_only(cls).from_pretrained(source, **kwargs)
    except (ImportError, ValueError) as other:
        raise _unusable(source, other) from other


def _pictures_only(cls: Any) -> Any:
    """A subclass of a processor class that has None for its video processor."""
    parts = cls.get_attributes()
    kept = [part for part in parts if part != "video_processor"]

    class PicturesOnly(cls):
        @classmethod
        def get_attributes(cls) -> list[str]:
            return kept

        @classmethod
        def from_args_and_dict(cls, args: list[Any], processor_dict: dict[str, Any], **kwargs: Any) -> Any:
            given = dict(zip(kept, args, strict=True))
            return super().from_args_and_dict([given.get(part) for part in parts], processor_dict, **kwargs)

    PicturesOnly.__name__ = PicturesOnly.__qualname__ = cls.__name__
    return PicturesOnly
