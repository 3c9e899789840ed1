"""pymeasure instruments for boxes that pymeasure lacks."""
