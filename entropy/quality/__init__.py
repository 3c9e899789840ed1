"""How good bits are: health tests and a watch while they come, statistics and standards' assessments afterwards."""
