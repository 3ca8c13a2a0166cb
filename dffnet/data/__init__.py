"""Stacks for networks: from shards (training, evaluation) and from folders of photos (prediction)."""
