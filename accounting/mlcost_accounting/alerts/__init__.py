"""Alerts: one for each crossing of a budget's threshold or unusual day, delivered until it arrives."""
