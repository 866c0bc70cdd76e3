"""Trainings whose workers Ray Train starts, watches and replaces; what they compute is the training engine's."""
