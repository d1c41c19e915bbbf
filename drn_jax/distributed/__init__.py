"""Devices and processes: how they share a batch, and what ends a run early."""
