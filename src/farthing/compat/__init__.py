"""Compat: Farthing under the names of other systems, for programs that move in one step."""
