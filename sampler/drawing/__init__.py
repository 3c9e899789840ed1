"""Drawing pictures: the bill, the reverse process picture by picture, files with provenance, replay."""
