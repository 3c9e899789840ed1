"""A buffer: its HDF5 format, who writes it and who follows and reads it."""
