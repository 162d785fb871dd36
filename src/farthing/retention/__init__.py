"""Retention: old entries move to archive files, checkpoints take their place; and texts are erased."""
