"""A rank that meets the others by what its environment says, and says what it sees."""

import os
import sys

import torch
import torch.distributed as dist

dist.init_process_group("gloo")
total = torch.tensor([float(dist.get_rank())])
dist.all_reduce(total)
env = os.environ
sys.stdout.write(
    f"rank {dist.get_rank()} of {dist.get_world_size()}, local {env['LOCAL_RANK']} of {env['LOCAL_WORLD_SIZE']}, "
    f"GPU {env['CUDA_VISIBLE_DEVICES']}, sum {total.item()}\n"
)
sys.stdout.flush()
dist.destroy_process_group()
os._exit(0)
