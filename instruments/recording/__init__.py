"""Recording bits into a store: health, blocks, accounts, reconnection."""
