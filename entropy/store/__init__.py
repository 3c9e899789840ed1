"""The store: a folder of buffers and the ledger of their bits; leases, and the care of its files."""
