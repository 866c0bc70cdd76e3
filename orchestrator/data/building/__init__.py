"""Builds shards from a source in parts: each part is one shard, made by one process, kept when a build resumes."""
