"""The ledger: one SQLite file with every run, its charges and what people entered. The only SQL is here."""
