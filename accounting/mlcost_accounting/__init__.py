"""The accounting engine: from sacct to a ledger, charges and reports."""
