"""Figures and small tables made from records; nothing here touches a model.

>>> from workbench import viz
>>> viz.show_sample(sample)           # a drawn picture with its question, answer and evidence
>>> viz.show_patches(answer)          # which patch of the picture is which token
>>> viz.accuracy(summarise(scored))   # by family and mode, with 95% intervals
>>> viz.overlay(answer, answer.attention.map(-2))   # what a token looked at, on the original pixels
>>> viz.maps([one, other])            # attributions of one answer, side by side
>>> viz.curves(attribution.check())   # insertion and deletion, the map beside random, centre and sinks

Every function returns a matplotlib `Figure` that shows itself in a notebook; keep it with
``figure.savefig("name.png")``.
"""

from ..names import face

__getattr__, __dir__, __all__ = face(
    __name__, __file__, league="leaderboard", paired="mode_pair", proof="counterfactual"
)
