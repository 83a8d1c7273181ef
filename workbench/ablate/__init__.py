"""Training questions as experiments: recipes, runs, sweeps, and a store of runs that pandas reads.

>>> from workbench import ablate
>>> recipe = ablate.Recipe(mixture={"general": 4000, "maths": 2000, "computer_use": 4000}, reasoning=0.2)
>>> one = ablate.run(recipe, "runs")                    # resumable; named by the recipe's hash
>>> made = ablate.sweep([recipe.replace(seed=s) for s in range(5)], "runs", workers=2)
>>> ablate.runs("runs")                                 # all runs as one table
>>> ablate.claims("mixture")                            # recorded runs beside the published claims

Names are imported when they are first used; recipes and recorded runs load without torch.
"""

from .. import models as _models  # noqa: F401  # quiets the libraries below Transformers before they come
from ..names import face

__getattr__, __dir__, __all__ = face(__name__, __file__)
