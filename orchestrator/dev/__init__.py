"""`tarmak dev up`: a whole mesh of the real programs on one machine, without root."""
