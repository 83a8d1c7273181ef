from . import ablate as ablate
from . import bench as bench
from . import errors as errors
from . import interpret as interpret
from . import models as models
from . import stats as stats
from . import synth as synth
from . import train as train
from . import types as types
from . import ui as ui
from . import viz as viz
from .ablate import Recipe as Recipe
from .answer import Answer as Answer
from .bench import Results as Results
from .files import data_path as data_path
from .models import VLM as VLM
from .models.doctor import doctor as doctor
from .models.load import load as load
from .models.memory_plan import memory_plan as memory_plan
from .types import Mode as Mode
from .types import Region as Region
from .types import Span as Span

__version__: str
