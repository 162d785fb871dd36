"""HTTP faces: each translates requests into commands and outcomes into answers, and nothing else."""
