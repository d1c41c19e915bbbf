"""Trained networks on photographs of one's own: what they answer, as pictures and as text."""
