from .data.store.store import PairStore as PairStore
from .data.store.store import open_pairs as open_pairs
from .editing.api import relight as relight
from .editing.api import resaturate as resaturate
from .editing.motion import Motion as Motion
from .editing.motion import predict_motion as predict_motion
from .errors import CoEmbedError as CoEmbedError
from .errors import ConfigError as ConfigError
from .errors import DataError as DataError
from .errors import ModelError as ModelError
from .errors import PhotoError as PhotoError
from .errors import TrainingError as TrainingError
from .models.base import Sampler as Sampler
from .models.cdvae.model import CDVAE as CDVAE
from .models.files import save_pretrained as save_pretrained
from .models.pretrained import from_pretrained as from_pretrained
from .numerics.random import Streams as Streams
from .tasks import Layer as Layer
from .tasks import Task as Task
from .tasks import get_task as get_task
from .tasks import register_task as register_task
from .tasks import task_names as task_names

__version__: str
