"""A thin adapter: the native port behind ``transformers serve``, so that other harnesses can ask it

``python -m workbench.bench.serve data/nano --host 127.0.0.1 --port 8000`` takes the arguments of
``transformers serve``.  That command alone does not know the published architecture.
"""

from __future__ import annotations

import sys

from ..errors import CapabilityError

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Register the native classes and start the server of Transformers; it runs until it is stopped.

    Args:
        arguments: of ``transformers serve``; those of the command line by default.

    Raises:
        CapabilityError: if the server's packages are not installed.
    """
    # torch: the help of the command needs none of it
    from ..models.phi4_rv import register
    from ..models.phi4_rv.configuration import Phi4RVConfig
    from ..models.phi4_rv.modeling import Phi4RVForConditionalGeneration

    try:
        from transformers.cli.transformers import main as run
    except ImportError as error:
        raise CapabilityError(
            f"the server of Transformers cannot start: {error}",
            "its packages",
            "pip install 'vlm-workbench[serve]'",
        ) from None
    register()
    # The server tells text models from vision-language models by their class's name in this table.
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as names

    names[Phi4RVConfig.model_type] = Phi4RVForConditionalGeneration.__name__
    # The server looks the architecture up by the name in config.json, as an attribute of transformers.  By
    # sys.modules: importing the classes above can put another module object in the place of the first one.
    setattr(sys.modules["transformers"], "Phi4ForCausalLMV", Phi4RVForConditionalGeneration)  # noqa: B010
    sys.argv = ["transformers", "serve", *(sys.argv[1:] if arguments is None else arguments)]
    run()


if __name__ == "__main__":
    main()
