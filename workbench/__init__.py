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

    workbench.memory_plan("microsoft/Phi-4-reasoning-vision-15B")  # does it fit here, and which call to make
    vlm = workbench.load("microsoft/Phi-4-reasoning-vision-15B", quantize="int4")
    workbench.doctor()                           # what this machine can run, and what to install

Nothing heavy is imported until a name is used: `import workbench` loads neither torch nor transformers.
"""

from .names import face

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = face(__name__, __file__, plan="memory_plan")
