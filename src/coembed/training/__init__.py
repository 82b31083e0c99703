"""The training loop and its checkpoints.

``run_train(TrainConfig(...))`` is ``coembed train``; ``fit`` trains any model that meets ``Trainable`` on any
``Pairs``. Import them from their modules (``training.run``, ``training.fit``, ``training.config``): the command
line needs ``TrainConfig`` without torch.
"""
