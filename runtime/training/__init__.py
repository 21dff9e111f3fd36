"""The parts of a training: data, the learner that Lightning drives, checkpoints, the log and progress."""
