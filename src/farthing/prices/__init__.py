"""Prices over time: importing what models cost, knowing a model by its name, and the price book of a process."""
