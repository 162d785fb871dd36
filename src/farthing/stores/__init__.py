"""Stores: the few verbs the engine needs, and reading for people. One file for each database."""
