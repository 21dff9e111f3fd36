"""The parts of a training: data, the learner that Lightning drives, checkpoints, the log and progress.

On several ranks each process is one Lightning trainer whose model is already this rank's part (`runtime/mesh`), under
a strategy that is to Lightning that of a process alone (`strategy.py`): FSDP adds up gradients, loaders give each rank
its share of every batch (`shares.py`), and the loss of a rank is weighted so that the mean over ranks is the loss of
the whole batch (`shared_loss.py`). What ranks do together is asked for where it is needed: the norm of all gradients
(`clipping.py`), results of metrics, and checkpoints, which all ranks gather and the first writes, in the form of one
process (`mesh_checkpoints.py`). All ranks come to the same decisions from the same numbers.
"""
