"""Web pages over the ledger: read-only, server-rendered, without scripts."""
