from .server import ServerVLM as ServerVLM
from .vlm import VLM as VLM
