"""The training loop and its checkpoints.

``run_train(TrainConfig(...))`` is ``coembed train``; ``Trainer(...).train()`` trains any ``Trainable`` on any
``Pairs``. Import them from their modules (``training.run``, ``training.trainer``, ``training.config``): the
command line needs ``TrainConfig`` without torch.
"""
