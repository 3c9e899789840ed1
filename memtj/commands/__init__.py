"""One module per command of `memtj`; each parses, calls the packages, and prints."""
