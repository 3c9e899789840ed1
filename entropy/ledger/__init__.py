"""The ledger of a store: which bits of which buffer are free, leased, consumed, burned or withheld."""
