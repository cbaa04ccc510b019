"""What a support desk does: rules over values. No I/O, no clock, no chance."""
