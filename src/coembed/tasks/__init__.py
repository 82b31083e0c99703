"""Tasks: a condition, a field, and the field's way back into the photo (paper sec. 5)."""

from coembed.tasks import motion as motion
from coembed.tasks import relighting as relighting
from coembed.tasks import resaturation as resaturation
from coembed.tasks.task import Layer, Task, get_task, register_task, task_names

__all__ = ["Layer", "Task", "get_task", "register_task", "task_names"]
