"""What an array is for a procedure: pulses, blocks of bits, and the boards behind them."""
