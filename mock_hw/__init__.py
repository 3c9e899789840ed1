"""The simulated laboratory: device, array, boxes that answer SCPI, wires."""
