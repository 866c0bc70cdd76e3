"""The engines that `elastic_resize.py` compares, on one model and one machine."""
