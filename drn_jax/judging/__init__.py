"""Judging generated streets: protocols, the network, results of each image, numbers, the page."""
