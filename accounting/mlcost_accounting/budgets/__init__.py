"""Budgets: what may be spent, what has been, what is promised to running and queued jobs, and who refuses."""
