"""Compression batches: plans, tasks, methods, reports."""
