"""Torch modules of the architectures that torchvision lacks, built from a blueprint."""
