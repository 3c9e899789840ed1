"""Boxes: tables of SCPI commands over simulated devices."""
