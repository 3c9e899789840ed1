"""Constants of nature in SI units (CODATA 2018; the gyromagnetic ratio is the free electron's)."""

BOLTZMANN = 1.380649e-23  # J/K
ELECTRON = 1.602176634e-19  # C
GAMMA = 1.7609e11  # rad/(s T)
HBAR = 1.054571817e-34  # J s
MU_0 = 1.25663706212e-6  # T m/A
