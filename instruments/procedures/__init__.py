"""pymeasure procedures that pulse and read the array."""
