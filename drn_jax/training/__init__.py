"""Learning and measuring: the loop, its steps and states, and passes over a split."""
