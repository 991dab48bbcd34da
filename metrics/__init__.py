"""Measures of a network: how near its pictures are to real ones, how varied, and how well they move and turn."""
