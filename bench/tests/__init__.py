"""The bench's own tests: a figure is worth what its instrument is."""
