"""Experiments that a person reruns by one command."""
