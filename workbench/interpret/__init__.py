"""What happened inside an answer: attention, attribution and whether it can be trusted, hidden states

>>> attribution = workbench.interpret.attribute(vlm, answer, method="occlusion")
>>> attribution.maps[0], attribution.check().verdict
>>> workbench.interpret.logit_lens(vlm, answer).says(1)  # what each patch says at layer 1
>>> workbench.interpret.knockout(vlm, answer, sources=region, targets="thought")  # what a blind thought loses
>>> workbench.interpret.timeline(answer)  # at which sentence it looked where

Records load and show themselves without torch; the verbs import what they need when they are used.
"""

from .. import models as _models  # noqa: F401  # quiets the libraries below Transformers before they come
from ..names import face

__getattr__, __dir__, __all__ = face(
    __name__,
    __file__,
    Lens="LogitLens",
    Proof="Counterfactual",
    check_many="check",
    knock_out="knockout",
    lens="logit_lens",
    prove="counterfactual",
    read_league="read_leaderboard",
)
